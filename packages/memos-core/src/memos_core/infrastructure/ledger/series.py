"""A series of checkpoints: numbers without a gap, each bound to the one before, keys that hold.

Trust starts at a root: the key of the first checkpoint, or one that the caller knows. It goes
forward along endorsements, each by the key before, and backward along the digests by which each
checkpoint names the one before it. A key that was revoked signs nothing that is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from memos_core.errors import IntegrityError
from memos_core.infrastructure.ledger.checkpoint import SignedCheckpoint, Statement
from memos_core.infrastructure.ledger.keys import (
    CHECKPOINT,
    ENDORSEMENT,
    SigningKey,
    endorsed_text,
    is_signed_by,
)


@dataclass(slots=True)
class Series:
    """What a series of checkpoints says, as far as it could be read.

    Args:
        statements: In order.
        problems: What does not hold.
        unendorsed: Numbers of checkpoints whose key no trusted key endorses, with the reason.
    """

    statements: list[Statement] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unendorsed: dict[int, str] = field(default_factory=dict)

    @property
    def disowned(self) -> dict[int, Statement]:
        """The numbers of checkpoints that speak of what a restored backup does not have.

        Each with the checkpoint that says so, the first one after the restoration. One whose key no
        trusted key endorses disowns nothing: whoever can write the database could make it.
        """
        return {
            number: said
            for said in self.statements
            if said.restored_from is not None and said.number not in self.unendorsed
            for number in range(said.restored_from + 1, said.number)
        }

    @property
    def standing(self) -> list[Statement]:
        """The statements that are about the chains as they are."""
        disowned = self.disowned
        return [said for said in self.statements if said.number not in disowned]


def check_series(
    series: Sequence[SignedCheckpoint], vault_id: str, trusted_key: str | None
) -> Series:
    """Check every checkpoint of a series by itself, against the one before, and for trust.

    Args:
        series: In the order of their numbers, from 1.
        vault_id: Whose checkpoints they should be.
        trusted_key: 64 hex digits of a public key to trust, or None for the first one's.
    """
    found = Series()
    before: tuple[SignedCheckpoint, Statement] | None = None
    for place, signed in enumerate(series, start=1):
        try:
            said = signed.statement
        except IntegrityError as error:
            found.problems.append(f"checkpoint {place}: {error}")
            return found
        where = f"checkpoint {said.number}"
        if said.vault != vault_id:
            found.problems.append(f"{where} is of another vault ({said.vault[:80]})")
        if said.number != place:
            found.problems.append(f"{where} stands where checkpoint {place} should")
        found.problems += _signature(signed, said)
        if before is not None:
            found.problems += _succession(*before, said) + _continuation(found.statements, said)
        elif said.previous:
            found.problems.append(f"{where} follows one that is not there")
        found.statements.append(said)
        before = (signed, said)
    _trust(found, vault_id, trusted_key)
    return found


def _signature(signed: SignedCheckpoint, said: Statement) -> list[str]:
    key = said.signer
    where = f"checkpoint {said.number}"
    if key is None:
        return [f"{where} is signed by a key that it does not list"]
    data = signed.body.encode("utf-8")
    if not is_signed_by(key, data, signed.signature, context=CHECKPOINT):
        return [f"the signature of {where} does not hold"]
    if key.revoked is not None:
        return [f"{where} is signed by {key.id}, which was revoked before"]
    if key != said.keys[-1]:
        return [f"{where} is signed by {key.id}, which was retired before"]
    return []


def _succession(signed: SignedCheckpoint, old: Statement, new: Statement) -> list[str]:
    where = f"checkpoint {new.number}"
    found = []
    if new.previous != signed.digest:
        found.append(f"{where} does not follow checkpoint {old.number}")
    if new.time < old.time or new.policy_epoch < old.policy_epoch:
        found.append(f"{where} goes back in time before checkpoint {old.number}")
    numbers = [each.number for each in new.withdrawn]
    if numbers != list(range(old.withdrawn_to + 1, new.withdrawn_to + 1)):
        found.append(f"{where} does not tell all that was withdrawn since checkpoint {old.number}")
    if not continues(old.keys, new.keys):
        found.append(f"{where} does not continue the keys of checkpoint {old.number}")
    return found


def _continuation(before: Sequence[Statement], new: Statement) -> list[str]:
    """Hold the chains against the checkpoint that they continue: a backup's, if one was restored.

    Args:
        before: The checkpoints before, in order from 1.
        new: The one that continues them.
    """
    where = f"checkpoint {new.number}"
    number = before[-1].number if new.restored_from is None else new.restored_from
    old = next((said for said in before if said.number == number), None)
    if old is None:
        return [f"{where} restores a backup of checkpoint {number}, which is not there"]
    found = []
    if new.pruned_to < old.pruned_to:
        found.append(f"{where} goes back in time before checkpoint {old.number}")
    for chain, head in old.by_chain.items():
        later = new.by_chain.get(chain)
        if later is None or later.seq < head.seq or (later.seq == head.seq and later != head):
            found.append(f"{where} does not continue chain {chain} of checkpoint {old.number}")
    return found


def continues(old: Sequence[SigningKey], new: Sequence[SigningKey]) -> bool:
    """Tell whether a history of keys only grew: what was recorded once stays as it was."""
    if len(new) < len(old):
        return False
    for before, after in zip(old, new, strict=False):
        kept = {"retired": before.retired or after.retired} | {
            "revoked": before.revoked or after.revoked
        }
        if before.model_copy(update=kept) != after:
            return False
    return True


def _trust(found: Series, vault_id: str, trusted_key: str | None) -> None:
    """Follow trust from its root; what it does not reach is said."""
    if not found.statements:
        return
    first = found.statements[0].signer
    root = trusted_key.lower() if trusted_key is not None else first.public if first else ""
    trusted = {root}
    reached = False
    for said in found.statements:
        _spread(trusted, said.keys, vault_id)
        if said.restored_from is not None:
            _spread_from_backup(trusted, said.keys, vault_id)
        key = said.signer
        if key is not None and key.public in trusted:
            reached = True
        elif reached and key is not None:
            found.unendorsed[said.number] = (
                f"checkpoint {said.number} is signed by {key.id}, which no trusted key endorses "
                "(it was made while the key before it was lost, or by somebody else): if you know "
                f"it to be yours, verify with the trusted key {key.public}"
            )
    if not reached:
        found.problems.append("no checkpoint is signed by the trusted key or by one it endorses")


def _spread(trusted: set[str], keys: Sequence[SigningKey], vault_id: str) -> None:
    """Trust each key that a trusted one, its predecessor, endorses."""
    for old, new in pairwise(keys):
        if old.public in trusted and is_endorsed(old, new, vault_id):
            trusted.add(new.public)


def _spread_from_backup(trusted: set[str], keys: Sequence[SigningKey], vault_id: str) -> None:
    """Trust the key of a restored vault where the backup's own key endorses it.

    The private half of the key before it may be lost with what came after the backup; an earlier
    key can vouch for it instead, as long as it was not revoked.
    """
    newest = keys[-1]
    for old in keys[:-1]:
        if old.public in trusted and old.revoked is None and is_endorsed(old, newest, vault_id):
            trusted.add(newest.public)


def is_endorsed(old: SigningKey, new: SigningKey, vault_id: str) -> bool:
    """Tell whether a key was endorsed by the one before it."""
    text = endorsed_text(vault_id, new)
    return new.endorsement is not None and is_signed_by(
        old, text, new.endorsement, context=ENDORSEMENT
    )
