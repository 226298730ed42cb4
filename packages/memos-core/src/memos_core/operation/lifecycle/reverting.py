"""Going back to an earlier version, keeping a memory from changing, and putting it away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from memos_core.cube import Header, Mark, MemCube, MemoryState
from memos_core.errors import ConflictError, DeniedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.records import Record, fetch_versions
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.models.embedder import Embedder
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.lifecycle.states import Transition, after
from memos_core.operation.lifecycle.updating import Change, Compute, Updater, header_of
from memos_core.operation.preparing import Preparer, Raw
from memos_core.operation.retrieval.versions import Versions

DESCRIPTIVE: Final = (
    *("semantic_type", "occurred_at", "valid_from", "valid_to", "source", "speaker"),
    *("model", "tags", "metadata", "priority"),
)
"""What a rollback brings back beside the content. What governs a memory stays as it is now: an old
permission never comes back."""
_SWITCHES: Final = (Transition.ENABLE, Transition.DISABLE)


@dataclass(frozen=True, slots=True)
class Step:
    """A version to be made: this header, and the content of a version that was.

    Args:
        header: The header.
        was: Whose content it gets.
        reason: Why, for the history.
        action: What the history calls it.
    """

    header: Header
    was: MemCube
    reason: str
    action: str


def described_as(header: Header, was: Header) -> Header:
    """Give a header the description of another; levels of fields only ever rise."""
    described = {name: getattr(was, name) for name in DESCRIPTIVE}
    return header.at_least_as_strict(was).model_copy(update=described)


class Reverter:
    """Writes versions that take a memory back, freeze it, or archive it.

    Args:
        gate: Decides.
        updater: Writes versions.
        preparer: Marks and embeds contents.
        versions: Reads earlier versions.
    """

    def __init__(
        self, gate: Gate, updater: Updater, preparer: Preparer, versions: Versions
    ) -> None:
        self._gate = gate
        self._updater = updater
        self._preparer = preparer
        self._versions = versions

    def rollback(
        self, actor: Actor, ref: Ref, number: int, expected_version: int | None, reason: str
    ) -> MemCube:
        """Write a new version that equals an earlier one.

        Raises:
            ConflictError: The memory is not at `expected_version`, or is frozen, or kept changing.
        """

        def begin(tx: Transaction, seen: Record) -> Compute:
            was = self._versions.one(tx, actor, seen, number).memcube()
            why = reason or f"back to version {number}"
            step = Step(described_as(header_of(seen), was.meta), was, why, "rollback")
            return lambda embedder: self.changes(embedder, [step])[0]

        verb = "memos.rollback"
        return self._updater.revise(actor, verb, ref, begin, expected_version=expected_version)

    def freeze(self, actor: Actor, ref: Ref, reason: str, *, frozen: bool) -> MemCube:
        """Keep a memory from changing, or let it change again; a version says so."""
        action = "freeze" if frozen else "unfreeze"

        def begin(_tx: Transaction, seen: Record) -> Compute:
            cube = seen.memcube()
            if not frozen and not cube.meta.frozen:
                raise ConflictError(f"memory {cube.id} is not frozen")
            header = header_of(seen).model_copy(update={"frozen": frozen})
            step = Step(header, cube, reason, action)
            return lambda embedder: self.changes(embedder, [step])[0]

        return self._updater.revise(actor, f"memos.{action}", ref, begin, thaw=not frozen)

    def archive(self, actor: Actor, ref: Ref, reason: str, *, archived: bool) -> MemCube:
        """Put a memory into the archive, or take it out; a version says so."""
        step = Transition.ARCHIVE if archived else Transition.UNARCHIVE
        return self.move(actor, ref, reason, step)

    def enable(self, actor: Actor, ref: Ref, reason: str, *, enabled: bool) -> MemCube:
        """Switch an adapter on, or off; a version says so.

        Raises:
            InvalidInputError: It is no adapter.
            ConflictError: It did not pass its gate, or is so already.
            DeniedError: Somebody who governs the space switched it off, and the actor does not.
        """
        step = Transition.ENABLE if enabled else Transition.DISABLE
        return self.move(actor, ref, reason, step)

    def move(
        self,
        actor: Actor,
        ref: Ref,
        reason: str,
        transition: Transition,
        *,
        expected_version: int | None = None,
    ) -> MemCube:
        """Write a version that differs in its state only, as the table has it.

        Raises:
            ConflictError: The table has no such transition, or it is not at `expected_version`.
        """

        def begin(tx: Transaction, seen: Record) -> Compute:
            step = moved(seen, transition, reason)
            if transition is Transition.ENABLE:
                self._refuse_overruling(tx, actor, seen)
            return lambda embedder: self.changes(embedder, [step])[0]

        verb = f"memos.{transition}"
        return self._updater.revise(actor, verb, ref, begin, expected_version=expected_version)

    def _refuse_overruling(self, tx: Transaction, actor: Actor, seen: Record) -> None:
        """Leave off what somebody who governs the space switched off, unless the actor does too.

        Raises:
            Refusal: The actor does not.
        """
        versions = [each.version for each in fetch_versions(tx, seen.cube)]
        last = next((each for each in versions[::-1] if each.action in _SWITCHES), None)
        if last is None or last.action != Transition.DISABLE:
            return
        cube_id, space = seen.cube.id, self._gate.space_of(tx, seen.cube)
        author = self._gate.registry.principal_name(tx, last.author_id)
        governed = self._gate.registry.rights(tx, author).governs(space, cube_id, tx.now)
        if governed and not self._gate.governs(tx, actor, space, cube_id):
            error = DeniedError(
                f"adapter {cube_id} was switched off by {author}, who governs {space}: only "
                "whoever governs it may switch it on again"
            )
            raise Refusal(error, "denied", cube_id, "govern", space)

    def changes(self, embedder: Embedder, steps: Sequence[Step]) -> list[Change]:
        """Describe the versions that steps make, each with the content of one that was."""
        raws = [Raw.of(step.header, step.was.content, before=step.was) for step in steps]
        return [
            Change(
                _marked(step.header, made.marks),
                step.was.content,
                made,
                step.reason,
                action=step.action,
            )
            for step, made in zip(steps, self._preparer.prepare(embedder, raws), strict=True)
        ]


def _marked(header: Header, marks: tuple[Mark, ...]) -> Header:
    """Give a header these marks; one that has them already is stored as it was, to the byte."""
    return header if header.marks == marks else header.model_copy(update={"marks": marks})


def moved(seen: Record, transition: Transition, reason: str) -> Step:
    """Describe the version that takes a memory through a transition.

    Raises:
        ConflictError: The table has no such transition from where it is.
        InvalidInputError: It is one of adapters, and the memory is none.
    """
    cube, header = seen.memcube(), header_of(seen)
    if transition in _SWITCHES:
        _check_adapter(cube, enabled=transition is Transition.ENABLE)
    state = after(cube.meta.state or MemoryState.GENERATED, transition, frozen=header.frozen)
    return Step(header.model_copy(update={"state": state}), cube, reason, transition.value)


def _check_adapter(cube: MemCube, *, enabled: bool) -> None:
    """Refuse to switch on what is no adapter, or one that may not be used."""
    lora = cube.lora
    if lora is None:
        raise InvalidInputError(f"memory {cube.id} is no adapter: session.distill makes one")
    if enabled and not lora.passed:
        raise ConflictError(
            f"adapter {cube.id} did not pass its gate: {'; '.join(lora.reasons) or 'no reason'}"
        )
