"""Organizing: how memories hang together. See `session.organizer`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Any

from memos_core.content import Content, Message, text_of
from memos_core.cube import CubeId, MemCube
from memos_core.draft import Draft, Key, check_reason
from memos_core.errors import ConflictError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.memory.fence import item_of, render
from memos_core.models.chat import ChatModel
from memos_core.operation.engine import Engine
from memos_core.operation.gate import check_ref
from memos_core.operation.organizing.linking import Wanted
from memos_core.operation.organizing.types import CONTRADICTS, REPEATS, check_type
from memos_core.operation.policies.merging import Missing, groups_of, supports
from memos_core.results import Graph, Link, Organized

Ref = CubeId | Key
MOST_DEPTH = 8
"""The longest chain of links that is walked."""
MOST_DUPLICATES = 10_000
"""The most pairs of memories that are grouped."""


@dataclass(frozen=True, slots=True)
class MergeProposal:
    """What a model would let stand for several memories.

    Args:
        refs: The memories.
        text: What would stand for them.
        missing: What of them it does not have; only without that it can be merged.
    """

    refs: tuple[CubeId, ...]
    text: str
    missing: Missing


class Organizer:
    """MemOperator at work for a session: links, graphs, merges (arXiv 2507.03724).

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     old, new = alice.add("I live in Leeds."), alice.add("I live in York.")
        ...     _ = alice.organizer.link(new.id, old.id, "supersedes")
        ...     [hit.text for hit in alice.search("Where do I live?")]
        ['I live in York.', 'I live in Leeds.']
    """

    def __init__(self, engine: Engine, actor: Actor) -> None:
        self._engine = engine
        self._actor = actor

    def link(
        self, source: Ref, target: Ref, kind: str, *, confidence: float = 1.0, reason: str = ""
    ) -> Link:
        """Say what one memory is to another.

        Args:
            source: Where the link begins.
            target: Where it ends.
            kind: What it says: `supersedes` (the target is then ranked after the source, and not
                shown without it), `contradicts`, `repeats`, or any word of your own.
            confidence: How sure that is, 0 to 1.
            reason: Why.

        Raises:
            InvalidInputError: The kind or the confidence is malformed, or both ends are one.
            NotFoundError: One of them is not there or not readable.
            DeniedError: The source may not be changed; for these three, nor may the target.
            ConflictError: They are linked so already.
        """
        if isinstance(confidence, bool) or not isinstance(confidence, int | float):
            raise InvalidInputError(f"confidence is a number, not {confidence!r}")
        if not 0 <= confidence <= 1:
            raise InvalidInputError(f"confidence is between 0 and 1, not {confidence!r}")
        percent = round(confidence * 100)
        ends = (check_ref(source), check_ref(target))
        wanted = Wanted(*ends, check_type(kind), percent, check_reason(reason))
        return self._engine.organizing.linker.link(self._actor, wanted)

    def unlink(self, link: Link | str) -> None:
        """Remove a link; one that the vault itself found is not found again.

        What was superseded by it is valid again.

        Raises:
            NotFoundError: There is none whose both ends may be read.
            DeniedError: What it says something about may not be changed.
        """
        link_id = link.id if isinstance(link, Link) else str(check_ref(link))
        self._engine.organizing.linker.unlink(self._actor, link_id)

    def links(self, ref: Ref, *, types: Collection[str] | None = None) -> tuple[Link, ...]:
        """List the links that begin or end at a memory, oldest first.

        Args:
            ref: The memory.
            types: Only of these types.

        Raises:
            NotFoundError: There is none that may be read.
        """
        graph = self.neighbourhood(ref, types=types)
        return tuple(each for each in graph.links if graph.start in (each.source, each.target))

    def neighbourhood(
        self, ref: Ref, *, depth: int = 1, types: Collection[str] | None = None
    ) -> Graph:
        """Return what lies around a memory, as far as the session may read.

        Args:
            ref: The memory in the middle.
            depth: How many links away, 1 to 8.
            types: Only along links of these types.

        Raises:
            InvalidInputError: The depth is out of range.
            NotFoundError: There is no such memory that may be read.
        """
        checked = (check_ref(ref), self._depth(depth), types)
        return self._engine.organizing.linker.neighbourhood(self._actor, *checked)

    def path(
        self,
        source: Ref,
        target: Ref,
        *,
        types: Collection[str] | None = None,
        depth: int = MOST_DEPTH,
    ) -> tuple[Link, ...] | None:
        """Return a shortest chain of links from one memory to another, in either direction.

        Args:
            source: Where it begins.
            target: Where it ends.
            types: Only along links of these types.
            depth: The longest chain, 1 to 8.

        Returns:
            The links in order; None where there is no such chain.

        Raises:
            NotFoundError: One of them is not there or not readable.
        """
        ends = (check_ref(source), check_ref(target))
        linker = self._engine.organizing.linker
        return linker.path(self._actor, *ends, types, self._depth(depth))

    def organize(self, *, progress: Callable[[int], None] | None = None) -> Organized:
        """Compare what changed since the last time with what is near it, and link what follows.

        A newer memory that gives another value to the same attribute *supersedes* the older one,
        whose valid time ends; one that cannot be true beside another *contradicts* it; one that
        says the same *repeats* it. Nothing is deleted. Only what the session may change is linked.

        Args:
            progress: Told how many memories were compared so far.

        Returns:
            How many memories were compared, and what came of it.
        """
        return self._engine.organizing.relater.organize(self._actor, progress)

    def conflicts(self, *, limit: int = 100) -> tuple[Link, ...]:
        """List what contradicts what, newest first, as far as the session may read both.

        Args:
            limit: The most to list.
        """
        return self._engine.organizing.linker.listed(self._actor, [CONTRADICTS], limit)

    def merge(
        self, refs: Sequence[Ref], content: Content | Draft | None = None, **fields: Any
    ) -> MemCube:
        """Let one memory stand for several; they stay, and `unmerge` brings them back.

        Args:
            refs: The memories, two or more.
            content: What stands for them; by default their texts, each once.
            **fields: Any field of `Draft`. The space is theirs, if it is one.

        Returns:
            What stands for them. It is for those only who may read all of them.

        Raises:
            InvalidInputError: They are fewer than two, or not text.
            DeniedError: One of them may not be changed.
            ConflictError: A number, a date, a name or a negation of theirs is not in the content,
                or one of them was merged or put away already, or is seen only in part.
        """
        merger = self._engine.organizing.merger
        cubes = merger.sources(self._actor, [check_ref(ref) for ref in refs])
        texts = list(dict.fromkeys(cube.text for cube in cubes))
        draft = Draft.of("\n".join(texts) if content is None else content, fields)
        missing = supports(texts, text_of(draft.content))
        if missing:
            lost = ", ".join(repr(each) for kind in astuple(missing) for each in kind)
            raise ConflictError(
                f"the merged text does not keep {lost}: put that in, as it is written"
            )
        return merger.merge(self._actor, cubes, draft)

    def propose(self, refs: Sequence[Ref], chat: ChatModel) -> MergeProposal:
        """Let a chat model write what could stand for several memories; nothing is merged by it.

        Args:
            refs: The memories, two or more; the model is shown them as the session sees them.
            chat: The model.

        Returns:
            The text, and what it lost: `merge(proposal.refs, proposal.text)` takes it if that is
            nothing.

        Raises:
            InvalidInputError: They are fewer than two, or not text.
            ConflictError: One of them was merged or put away, or is seen only in part.
            ModelError: The model did not answer.
        """
        merger = self._engine.organizing.merger
        cubes = merger.sources(self._actor, [check_ref(ref) for ref in refs])
        texts = list(dict.fromkeys(cube.text for cube in cubes))
        asked = (files("memos_core.interface") / "prompts" / "merging.txt").read_text("utf-8")
        nonce = self._engine.gate.vault.entropy.token(8).hex()
        notes = render([item_of(cube) for cube in cubes], nonce)
        said = [Message(role="system", parts=asked), Message(role="user", parts=notes)]
        text = chat.chat(said).strip()
        return MergeProposal(tuple(cube.id for cube in cubes), text, supports(texts, text))

    def duplicates(self) -> tuple[frozenset[CubeId], ...]:
        """Group the memories that say the same, as `organize` found them."""
        linker = self._engine.organizing.linker
        found = linker.listed(self._actor, [REPEATS], MOST_DUPLICATES)
        return groups_of((link.source, link.target) for link in found)

    def unmerge(self, ref: Ref) -> list[MemCube]:
        """Let what was merged stand for itself again, as it was; what stood for it is archived.

        Args:
            ref: What `merge` returned.

        Returns:
            The memories, as they are again.

        Raises:
            ConflictError: Nothing was merged into it.
            DeniedError: It or one of them may not be changed.
        """
        return self._engine.organizing.merger.unmerge(self._actor, check_ref(ref))

    def _depth(self, depth: int) -> int:
        if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= MOST_DEPTH:
            raise InvalidInputError(f"depth is 1 to {MOST_DEPTH}, not {depth!r}")
        return depth
