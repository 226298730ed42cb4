"""A vault as the first schema made it: written here by hand, for the migration's test."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import memos_core.infrastructure.vault as vault_package
from memos_core.testing import HashingEmbedder

NOW = 1_767_225_600_000_000
SPACE = {"access": [], "cube": "", "purposes": [], "sensitivity": 1, "space": "user:alice"}


def digest(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def make_first_schema(folder: Path) -> list[str]:
    """Make a vault with a note of alice's and a summary of it; return the memories' ids."""
    folder.mkdir()
    engine = sa.create_engine(f"sqlite:///{folder / 'vault.db'}")
    with engine.begin() as connection:
        config = Config()
        scripts = Path(vault_package.__file__).parent / "migrations"
        config.set_main_option("script_location", str(scripts))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    raw = sqlite3.connect(folder / "vault.db")
    _fill(raw)
    raw.commit()
    raw.close()
    marker = {"format": "memos-vault", "layout": 1}
    folder.joinpath("memos-vault.json").write_text(json.dumps(marker), encoding="utf-8")
    return [memory_id(number) for number in (1, 2)]


def memory_id(number: int) -> str:
    return f"mem_{number:0>20}"


def _fill(raw: sqlite3.Connection) -> None:
    embedder = HashingEmbedder()
    raw.execute(
        "INSERT INTO vault VALUES (1, 'vlt_1', 1, 1, ?, ?, ?)", (embedder.name, embedder.dims, NOW)
    )
    raw.executemany("INSERT INTO ledger_chains VALUES (?, 0, '', 0)", [(n,) for n in range(8)])
    raw.executemany(
        "INSERT INTO principals VALUES (?, ?, 1, ?)",
        [("prn_owner", "user:owner", NOW), ("prn_alice", "user:alice", NOW)],
    )
    grant = ["grt_1", "prn_owner", 31, "", None, '["*"]', None, "prn_owner", NOW, None]
    raw.execute(f"INSERT INTO grants VALUES ({', '.join('?' * 11)})", [*grant, digest(grant)])
    raw.execute("INSERT INTO realms VALUES ('rlm_1', 'user:alice', 2)")
    raw.execute("INSERT INTO spaces VALUES ('spc_1', 'user:alice', 'rlm_1')")
    label = json.dumps([SPACE], separators=(",", ":"))
    raw.execute("INSERT INTO labels VALUES (?, ?)", (digest(label), label))
    texts = ((1, "a note", "import:web"), (2, "a summary of the note", None))
    for number, text, source in texts:
        _memory(raw, number, text, source, digest(label), embedder)
    raw.execute("INSERT INTO lineage VALUES (?, ?, 1)", (memory_id(2), memory_id(1)))
    raw.execute("UPDATE ledger_chains SET last_time = 0")


def _memory(
    raw: sqlite3.Connection,
    number: int,
    text: str,
    source: str | None,
    label: str,
    embedder: HashingEmbedder,
) -> None:
    cube_id, created = memory_id(number), NOW + number
    cube = [cube_id, "rlm_1", "spc_1", None, "prn_alice", "generated", 1, label, label, None]
    cube = [*cube, created]
    header = {
        "kind": "plaintext",
        "created": "2026-01-01T00:00:00Z",
        "space": "user:alice",
        "owner": "user:alice",
        "sensitivity": "internal",
    } | ({"source": source} if source else {})
    payload = json.dumps({"type": "explicit", "format": "text", "content": text})
    version = [cube_id, 1, label, created, "prn_alice", "add", "", json.dumps(header), payload]
    vector = np.asarray(embedder.embed([text]), dtype=np.float32)[0].tobytes()
    sealed = [cube_id, 1, embedder.name, vector.hex()]
    raw.execute(f"INSERT INTO cubes VALUES ({', '.join('?' * 12)})", [*cube, digest(cube)])
    row = [*version[:4], None, *version[4:], digest(version)]
    raw.execute(f"INSERT INTO versions VALUES ({', '.join('?' * 11)})", row)
    raw.execute(
        "INSERT INTO embeddings VALUES (?, 1, ?, ?, ?)",
        (cube_id, embedder.name, vector, digest(sealed)),
    )
    raw.execute("INSERT INTO cube_keys VALUES (?, ?)", (cube_id, b"k" * 32))
    raw.execute("INSERT INTO journal VALUES ('rlm_1', ?, ?, 'add')", (number, cube_id))
