"""The directory of an embedded vault: what lies where, and which directories are refused.

vault/
  memos-vault.json    says that this is a vault; written last, so a half-made one is finished
  vault.db            the system of record (with SQLite's own -wal and -shm beside it)
  vault.lock          the writers' queue; never deleted
  vault.reserve       allocated zeros: what a full disk leaves for reads, forget and revoke
  blobs/              tensors and adapters, each a file under an id of its own
  keys/               the private halves of its signing keys, for its owner only
  readers/            for each process that has it open, which pages that holds in memory
  scratch-*.tmp       a working copy, for as long as a backup is taken
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from memos_core.errors import DamagedError, InvalidInputError, VaultError
from memos_core.infrastructure.files import unwritable

MARKER: Final = "memos-vault.json"
_OURS: Final = frozenset(
    {MARKER, "vault.db", "vault.db-wal", "vault.db-shm", "vault.db-journal", "vault.lock", "keys"}
    | {"readers", "vault.reserve", "blobs"}
)
_NETWORK: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "fuse.s3fs", "glusterfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "smb3", "smbfs", "virtiofs", "webdav", "fuse.rclone", "fuse.gcsfuse"}
)


@dataclass(frozen=True, slots=True)
class VaultDirectory:
    """A directory that is a vault, or may become one.

    Args:
        root: The directory.
        exists: Whether it already holds a vault.
        vault_id: Which one, as far as its marker says.
    """

    root: Path
    exists: bool
    vault_id: str | None = None

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.root / "vault.db"

    @property
    def keys(self) -> Path:
        """The folder of the private signing keys."""
        return self.root / "keys"

    @property
    def blobs(self) -> Path:
        """The folder of the blobs."""
        return self.root / "blobs"

    @property
    def readers(self) -> Path:
        """The folder in which processes say which pages they hold."""
        return self.root / "readers"

    def mark(self, vault_id: str) -> None:
        """Write the marker that makes this directory a vault: this one and no other.

        Raises:
            FullError: The disk is full; the next opening finishes the vault.
            VaultError: The marker cannot be written.
        """
        said = {"format": "memos-vault", "layout": 1, "vault": vault_id}
        path = self.root / MARKER
        try:
            path.write_text(json.dumps(said) + "\n", encoding="utf-8")
        except OSError as error:
            path.unlink(missing_ok=True)
            raise unwritable(f"the vault's marker {path}", error) from error

    def read_marker(self) -> str | None:
        """Return the vault's id by its marker; None in a marker of the first versions.

        Raises:
            DamagedError: It cannot be read, or is no marker.
        """
        path = self.root / MARKER
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unreadable(path) from error
        named = said.get("vault") if isinstance(said, dict) else None
        fits = isinstance(said, dict) and said.get("format") == "memos-vault"
        if not fits or not isinstance(named, str | None):
            raise _unreadable(path)
        return named


def find_vault(location: str | Path, *, mounts: str | None = None) -> VaultDirectory:
    """Check that a location can hold a vault.

    Args:
        location: A directory; it need not exist.
        mounts: The text of the mount table, for tests; read from the system by default.

    Returns:
        The directory, and whether it already is a vault. Nothing is written.

    Raises:
        InvalidInputError: The location is empty or a kind of URL that is not supported.
        VaultError: It is a file, another program's directory, or on a network file system.
    """
    if not str(location).strip():
        raise InvalidInputError("the vault's location is empty: give a directory, e.g. 'vault'")
    if "://" in str(location):
        raise InvalidInputError(
            f"no vault can be opened at {str(location).split('://')[0]}://: this version opens a "
            "directory; a vault on PostgreSQL is planned"
        )
    root = Path(location).expanduser().absolute()
    kind = file_system_of(root, mounts if mounts is not None else _mount_table())
    if kind in _NETWORK:
        raise VaultError(
            f"{root} is on a network file system ({kind}), where SQLite's locks do not hold: "
            "use a local directory"
        )
    if root.exists() and not root.is_dir():
        raise VaultError(f"{root} is a file: give a directory")
    names = {entry.name for entry in root.iterdir()} if root.is_dir() else set()
    if MARKER in names:
        found = VaultDirectory(root, exists=True)
        with suppress(DamagedError):  # its being there is enough; the doctor tells of it
            found = replace(found, vault_id=found.read_marker())
        return found
    if names - _OURS:
        raise VaultError(
            f"{root} is not a vault and not empty: give an empty or new directory, "
            "or the vault's own"
        )
    return VaultDirectory(root, exists=False)


def _unreadable(path: Path) -> DamagedError:
    return DamagedError(
        f"the marker {path} cannot be read: remove it, and the next open writes it anew"
    )


def file_system_of(path: Path, mounts: str) -> str:
    """Name the type of the file system that holds `path`.

    Args:
        path: An absolute path, which need not exist.
        mounts: Lines of `device mount-point type …`, as in `/proc/mounts`.

    Returns:
        The type of the longest mount point above `path`, or an empty text if unknown.
    """
    resolved = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        columns = line.split()
        if len(columns) < 3:
            continue
        point = Path(columns[1].replace("\\040", " "))
        depth = len(point.parts)
        if depth >= best and resolved.is_relative_to(point):
            best, kind = depth, columns[2]
    return kind


def _mount_table() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # not Linux: nothing is known, so nothing is refused
        return ""
