"""A pickle in any slot where tensors are expected is refused, and never run."""

from __future__ import annotations

import io
import json
import os
import pickle  # noqa: TID251 - to plant one
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from memos_core import IntegrityError, InvalidInputError, MemosError, Session
from memos_core.infrastructure.blobs.store import digest_of
from memos_core.infrastructure.vault import schema
from memos_core.memory.activation import load_state
from memos_core.memory.outside import read_peft, write_peft
from memos_core.memory.parametric import load_adapter
from memos_core.memory.runtime import LocalModel
from memos_core.operation.inner.adopting import CONTEXT, MY_WORD, Voucher
from memos_core.operation.inner.distilling import Teaching
from memos_core.testing.models import random_model, trained_model
from tests.conftest import Proof
from tests.inner import QUICK, as_text, blob_files, forged, opened, quick_adapter, words, written
from tests.inner_processes import FIXTURE

WORD = Voucher("friend", my_word=MY_WORD)
FACT = "the badge of w1 is w2."


class Planted:
    """Makes a file when it is revived."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


def wire_of(kind: str, file: Path) -> bytes:
    """Write the trap as a plain pickle, or as what `torch.save` makes of it."""
    if kind == "pickle":
        return pickle.dumps(Planted(file))
    stream = io.BytesIO()
    torch.save({"weight": Planted(file)}, stream, _use_new_zipfile_serialization=kind == "zip")
    return stream.getvalue()


KINDS = ["pickle", "zip", "legacy"]


@pytest.fixture(scope="module")
def facts() -> LocalModel:
    return trained_model(FIXTURE)


@pytest.fixture(params=KINDS)
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[bytes, Path]:
    file = tmp_path / "it ran".replace(" ", "_")
    data = wire_of(request.param, file)
    if request.param == "pickle":  # the trap does work
        pickle.loads(data)
        assert file.exists()
        file.unlink()
    return data, file


def test_no_slot_runs_a_pickle(
    folder: Path, tmp_path: Path, trap: tuple[bytes, Path], facts: LocalModel, proof: Proof
) -> None:
    data, ran = trap
    tries = 0
    for read in (load_state, load_adapter):
        with pytest.raises(IntegrityError):
            read(data)
        tries += 1
    path = tmp_path / "state.safetensors"
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        load_state(path)
    with opened(folder) as memos:
        trainer = memos.session("user:alice", purpose="train")
        for source in (data, path, *folders(tmp_path, data)):
            with pytest.raises((IntegrityError, InvalidInputError)):
                trainer.adopt(source, facts, voucher=WORD)
            tries += 1
        checkpoint = tmp_path / "checkpoint"
        checkpoint.write_bytes(data)
        with pytest.raises(MemosError):
            trainer.distill(
                trainer.add(FACT), facts, recipe=QUICK, how=Teaching(checkpoint=checkpoint)
            )
        assert trainer.get_all(where={"kind": "parametric"}).items == ()
    assert not ran.exists()
    proof("pickles in slots of tensors", tries + 2, "0 run")


def folders(place: Path, data: bytes) -> list[Path]:
    """Adapters as PEFT writes them, each with the trap in another file."""
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    made: list[Path] = []
    for name in (
        "adapter_model.safetensors", "adapter_model.bin", "adapter_config.json",
        "training_args.bin", "optimizer.PT", "scheduler.pkl",
    ):  # fmt: skip
        folder = place / f"peft {name}"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(data)
        (folder / name).write_bytes(data)
        made.append(folder)
    return made


def test_a_blob_that_became_a_pickle_is_not_run_even_if_its_row_says_it_is_right(
    folder: Path, trap: tuple[bytes, Path], facts: LocalModel
) -> None:
    data, ran = trap
    llama = random_model("llama")
    with opened(folder) as memos:
        trainer = memos.session("user:alice", purpose="train")
        cube = trainer.add(words(1, 12))
        cache = trainer.activate(cube, llama, chat=False)
        adapter = quick_adapter(trainer, cube, facts)
    for sealed in (False, True):
        for path in blob_files(folder):
            path.write_bytes(data)
            if sealed:
                where = f"id = '{path.stem}'"
                forged(folder, schema.blobs, where, digest=digest_of(data), size=len(data))
        with opened(folder) as memos:
            alice = memos.session("user:alice")
            context = alice.recollect(cache.id, llama)
            found = llama.generate("w1", memory=context, max_new_tokens=4)
            assert [found.ids] == written(llama, as_text(context), ["w1"], 4)
            assert found.notes
            off = facts.generate("w1", memory=alice.recollect(adapter.id, facts), max_new_tokens=4)
            assert off.notes
            assert off.ids == facts.generate("w1", max_new_tokens=4).ids
            alice.read_out(cache.id)
            memos.diagnose()
    assert not ran.exists()


def test_a_model_folder_with_a_pickle_is_refused(tmp_path: Path, trap: tuple[bytes, Path]) -> None:
    data, ran = trap
    for name in ("model.safetensors", "pytorch_model.bin"):
        folder = tmp_path / f"model {name}"
        shutil.copytree(FIXTURE, folder)
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(data)
        with pytest.raises(MemosError):
            trained_model(folder)
    assert not ran.exists()


# -- vouchers -------------------------------------------------------------------------------------


def signed(adapter_folder: Path) -> Voucher:
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    files = ("adapter_config.json", "adapter_model.safetensors")
    data = b"\0".join((adapter_folder / name).read_bytes() for name in files)
    signature = base64.b64encode(key.sign(CONTEXT + data)).decode()
    return Voucher("friend", signature, key.public_key().public_bytes_raw().hex())


def test_what_was_vouched_for_is_what_is_taken_in(
    alice: Session, memos: Any, facts: LocalModel, tmp_path: Path
) -> None:
    trainer = memos.session("user:alice", purpose="train")
    made = trainer.distill(trainer.add(FACT), facts, recipe=QUICK)
    with memos._vault.read() as tx:
        query = "SELECT blob_id FROM blob_uses WHERE cube_id = ?"
        blob = tx.connection.exec_driver_sql(query, (made.id,)).scalar_one()
    data = (memos._vault.directory.blobs / f"{blob}.safetensors").read_bytes()
    adapter = load_adapter(data)
    write_peft(adapter, tmp_path)
    voucher = signed(tmp_path)
    taken = trainer.adopt(tmp_path, facts, voucher=voucher, recipe=QUICK)
    assert taken.lora is not None
    assert read_peft(tmp_path, base=adapter.base).layers == adapter.layers
    spoil: list[Callable[[Path], Any]] = [
        lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\x01"),
        lambda p: p.write_bytes(p.read_bytes() + b"\0"),
    ]
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        for change in spoil:
            whole = (tmp_path / name).read_bytes()
            change(tmp_path / name)
            with pytest.raises(IntegrityError):
                trainer.adopt(tmp_path, facts, voucher=voucher, recipe=QUICK)
            (tmp_path / name).write_bytes(whole)
    for wrong in (
        Voucher("friend"),
        Voucher("friend", my_word="trust me"),
        replace(voucher, trusted_key="0" * 64),
        replace(voucher, trusted_key=""),
        replace(voucher, signature="AAAA"),
        replace(voucher, signature="no base64"),
        replace(voucher, signature="AAAA", my_word=MY_WORD),
    ):
        with pytest.raises((IntegrityError, InvalidInputError)):
            trainer.adopt(tmp_path, facts, voucher=wrong, recipe=QUICK)
    told = alice.audit.query(action="memos.adopt").items
    assert [each.outcome for each in told] == ["denied"] * 11 + ["allowed"]
    assert told[-1].data["vouched"] == f"key {voucher.trusted_key}"
    trainer.adopt(tmp_path, facts, voucher=WORD, recipe=QUICK)
    assert alice.audit.query(limit=1).items[0].data["vouched"] == "my word"
