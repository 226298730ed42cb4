"""Session: a principal at work in a space, for a purpose. It is the only door to memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from memos_core.audit import Audit
from memos_core.clock import require_aware, to_micros
from memos_core.content import Content
from memos_core.cube import CubeId, MemCube, Trust, Version
from memos_core.draft import Draft, Key, Patch, check_reason
from memos_core.errors import InvalidInputError
from memos_core.filters import Filter, parse_filter
from memos_core.governance import Governance
from memos_core.infrastructure.governance.names import check_space
from memos_core.interface.context import MemoryContext, contextual
from memos_core.looping import Looping
from memos_core.modelling import Modelling
from memos_core.operation.gate import check_ref
from memos_core.operation.lifecycle.adding import OnKey
from memos_core.operation.lifecycle.patching import Mode
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.operation.retrieval.provenance import Provenance
from memos_core.operation.retrieval.recall import Question
from memos_core.operation.retrieval.tracing import Trace
from memos_core.operation.retrieval.versions import Diff
from memos_core.operation.scheduler import ContextOptions, Request
from memos_core.operation.upkeep.duty import Duty
from memos_core.operation.upkeep.tidying import Tidying
from memos_core.organizing import Organizer
from memos_core.results import ForgetReport, Hits, Page
from memos_core.sharing import Sharing
from memos_core.snapshots import Snapshots

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

Ref = CubeId | Key


class Session(Sharing, Modelling, Looping):
    """A principal at work. Get one from `MemOS.session`.

    Every verb is decided for this principal, in this space, for this purpose, and leaves an entry
    in the ledger. What the principal may not read answers exactly like what is not there.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     _ = alice.add("I am allergic to peanuts.")
        ...     alice.search("peanuts")[0].text
        'I am allergic to peanuts.'
    """

    @property
    def principal(self) -> str:
        """Who acts."""
        return self._actor.principal

    @property
    def space(self) -> str:
        """Where memories go if no space is named."""
        return self._actor.home

    @property
    def purpose(self) -> str:
        """What the session is for."""
        return self._actor.purpose

    @property
    def governance(self) -> Governance:
        """The verbs of whoever answers for a space: explain, quarantine, hold and their like."""
        return Governance(self._engine, self._actor)

    @property
    def snapshots(self) -> Snapshots:
        """Named instants of a space, and going back to one."""
        return Snapshots(self._engine, self._actor)

    @property
    def organizer(self) -> Organizer:
        """How memories hang together: links, graphs, merges."""
        return Organizer(self._engine, self._actor)

    @property
    def audit(self) -> Audit:
        """Asking what happened, and the verbs that prove it."""
        return Audit(self._engine, self._actor)

    def __repr__(self) -> str:
        return f"Session({self.principal!r}, space={self.space!r}, purpose={self.purpose!r})"

    def add(self, content: Content | Draft, /, **fields: Any) -> MemCube:
        """Add one memory.

        Args:
            content: Text, a `Message`, a `Document`, a JSON value, or a `Draft`.
            **fields: Any field of `Draft`, such as `key`, `space`, `speaker`, `occurred_at`,
                `expires`, `tags`, `metadata`, `sensitivity`, `access`, `parents`.

        Returns:
            The memory as it was recorded.

        Raises:
            InvalidInputError: The content or a field is malformed.
            DeniedError: The principal may not write there.
            ConflictError: The key is taken in that space.

        Example:
            >>> from memos_core.testing import temporary_memos
            >>> with temporary_memos() as memos:
            ...     memos.session("user:alice").add("Tea, no milk.", tags={"taste"}).version
            1
        """
        return self._engine.adder.add(self._actor, [Draft.of(content, fields)], "error")[0]

    def add_many(
        self, drafts: Iterable[Content | Draft], *, on_key: OnKey = "error"
    ) -> list[MemCube]:
        """Add many memories in one transaction: all or none.

        Args:
            drafts: Drafts, or plain contents.
            on_key: Where a key is taken: `error`, `skip` (keep what is there), or `replace` (write
            a
                new version of it).

        Returns:
            One memory per draft, in order.

        Raises:
            InvalidInputError: A draft is malformed; nothing was written.
            DeniedError: One of the spaces may not be written; nothing was.
            ConflictError: A key is taken, under `on_key="error"`.
        """
        checked = [Draft.of(draft, {}) for draft in drafts]
        return self._engine.adder.add(self._actor, checked, on_key)

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        where: Filter | None = None,
        space: str | None = None,
        budget_tokens: int | None = None,
        min_score: float | None = None,
        options: SearchOptions | None = None,
    ) -> Hits:
        """Find the memories that answer a question, among all that the principal may read.

        Args:
            query: The question, as it was asked.
            k: The most hits to return.
            where: A filter, such as `{"tags": "travel"}`; see `memos_core.filters`.
            space: Only this subtree.
            budget_tokens: Leave out hits whose text would go over this, best first.
            min_score: Leave out hits below this score.
            options: The weights of the ranking.

        Returns:
            The hits, best first, each with its score and why.

        Raises:
            InvalidInputError: The query is empty, or `k`, the filter or the space is malformed.
            EmbedderError: The vault's embedder is not to be had.
        """
        if budget_tokens is not None:
            check_budget(budget_tokens)
        if min_score is not None and not isinstance(min_score, int | float):
            raise InvalidInputError(f"min_score is a number, not {min_score!r}")
        if options is not None and not isinstance(options, SearchOptions):
            raise InvalidInputError(f"options is a SearchOptions, not {options!r}")
        chosen = options or SearchOptions()
        question = replace(
            self._question(query, k, chosen), budget_tokens=budget_tokens, min_score=min_score
        )
        scope = replace(self._scope(where, space), min_trust=Trust.parse(chosen.min_trust))
        return self._engine.recall.search(scope, question)

    def get(self, ref: Ref, *, version: int | None = None) -> MemCube:
        """Return one memory.

        Args:
            ref: Its id, or a `Key`.
            version: An earlier version instead of the present one.

        Raises:
            NotFoundError: There is none that the principal may read.
        """
        return self._engine.recall.get(self._actor, check_ref(ref), version)

    def get_all(
        self,
        *,
        where: Filter | None = None,
        space: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[MemCube]:
        """List memories in the order in which they were recorded.

        Args:
            where: A filter.
            space: Only this subtree.
            limit: The most memories on a page.
            cursor: The `cursor` of the page before.

        Raises:
            InvalidInputError: The filter, the space, the limit or the cursor is malformed.
        """
        self._check_count(limit, "limit")
        return self._engine.recall.listing(self._scope(where, space), limit, cursor)

    def update(
        self,
        ref: Ref,
        content: Content | Patch,
        *,
        expected_version: int | None = None,
        mode: Mode = "overwrite",
        reason: str = "",
    ) -> MemCube:
        """Change a memory; the change is a new version and the old one stays in its history.

        Args:
            ref: Its id, or a `Key`.
            content: The new content, or a `Patch` of content and header fields.
            expected_version: Refuse if the memory is not at this version.
            mode: `overwrite`, `append` or `merge` the content.
            reason: Why, for the history.

        Raises:
            NotFoundError: There is none that the principal may read.
            DeniedError: It may be read and not changed, or it would become readable to more.
            ConflictError: It is not at `expected_version`.
        """
        patch = content if isinstance(content, Patch) else Patch(content)
        return self._engine.updater.update(
            self._actor,
            check_ref(ref),
            patch,
            expected_version=expected_version,
            mode=mode,
            reason=check_reason(reason),
        )

    def forget(self, refs: Ref | Sequence[Ref], *, reason: str = "") -> ForgetReport:
        """Remove memories, and everything derived from them, from every read that begins later.

        Args:
            refs: Ids or `Key`s; there is no way to say "all".
            reason: Why, for the tombstone.

        Returns:
            What went, and whether its bytes are gone from the database and its log.

        Raises:
            InvalidInputError: Nothing is named.
            NotFoundError: One of them is not there or not readable; nothing was removed.
            DeniedError: One of them may be read and not changed; nothing was removed.
        """
        several = [refs] if isinstance(refs, str | Key) else list(refs)
        checked = [check_ref(ref) for ref in several]
        return self._engine.forgetter.forget(self._actor, checked, check_reason(reason))

    def history(self, ref: Ref) -> list[Version]:
        """Return the versions of a memory, oldest first.

        Raises:
            NotFoundError: There is none that the principal may read.
        """
        return self._engine.versions.history(self._actor, check_ref(ref))

    def diff(self, ref: Ref, older: int, newer: int | None = None) -> Diff:
        """Compare two versions of a memory, as the principal sees them.

        Args:
            ref: Its id, or a `Key`.
            older: The number of the one version.
            newer: The number of the other; the present one by default.

        Raises:
            NotFoundError: There is no such memory, or version, that the principal may read.
        """
        return self._engine.versions.diff(self._actor, check_ref(ref), older, newer)

    def rollback(
        self, ref: Ref, version: int, *, expected_version: int | None = None, reason: str = ""
    ) -> MemCube:
        """Take a memory back: a new version with the content and description of an earlier one.

        What governs it (`access`, `sensitivity`, `purposes`, `expires`) stays as it is now.

        Raises:
            NotFoundError: There is no such memory, or version, that the principal may read.
            DeniedError: It may be read and not changed.
            ConflictError: It is frozen, or not at `expected_version`.
        """
        asked = (check_ref(ref), version, expected_version, check_reason(reason))
        return self._engine.reverter.rollback(self._actor, *asked)

    def freeze(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Keep a memory from changing until it is unfrozen; it can still be forgotten.

        Raises:
            ConflictError: It is frozen already.
        """
        asked = (check_ref(ref), check_reason(reason))
        return self._engine.reverter.freeze(self._actor, *asked, frozen=True)

    def unfreeze(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Let a frozen memory change again."""
        asked = (check_ref(ref), check_reason(reason))
        return self._engine.reverter.freeze(self._actor, *asked, frozen=False)

    def archive(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Put a memory away: searches and listings leave it out, `get` and `history` still find it.

        A filter that names `state` finds it too: `where={"state": "archived"}`.

        Raises:
            ConflictError: It is archived already, or frozen.
        """
        asked = (check_ref(ref), check_reason(reason))
        return self._engine.reverter.archive(self._actor, *asked, archived=True)

    def unarchive(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Take a memory out of the archive."""
        asked = (check_ref(ref), check_reason(reason))
        return self._engine.reverter.archive(self._actor, *asked, archived=False)

    def context(
        self,
        query: str,
        *,
        budget_tokens: int,
        k: int = 50,
        model: LocalModel | None = None,
        options: ContextOptions | None = None,
    ) -> MemoryContext:
        """Recall for a prompt: a fenced block of memories under a token budget.

        Args:
            query: What the prompt is about.
            budget_tokens: What the block may cost; it never costs more. Counted by the model's
                tokenizer where there is a model, else by `Settings.count_tokens`.
            k: How many memories to consider.
            model: The local model that it is for, as in
                `model.generate(query, memory=session.context(query, …, model=model))`.
            options: How memories are chosen: what they are worth, and what a model may be given.

        Returns:
            The block, what is in it and why, and what was left out and why.

        Raises:
            InvalidInputError: The query is empty, or a number or an option is malformed.

        Example:
            >>> from memos_core.testing import temporary_memos
            >>> with temporary_memos() as memos:
            ...     alice = memos.session("user:alice")
            ...     _ = alice.add("I am allergic to peanuts.")
            ...     context = alice.context("Which nuts are bad for me?", budget_tokens=200)
            ...     len(context.items), context.tokens <= 200
            (1, True)
        """
        check_budget(budget_tokens)
        chosen = options or ContextOptions()
        if not isinstance(chosen, ContextOptions):
            raise InvalidInputError(f"options is a ContextOptions, not {options!r}")
        question = self._question(query, k, chosen.search)
        scope = replace(self._scope(None, None), min_trust=Trust.parse(chosen.search.min_trust))
        asked = Request(question, budget_tokens, chosen, model, self.working_set)
        return contextual(self._engine, scope, asked)

    def provenance(self, ref: Ref) -> Provenance:
        """Say where a memory came from: author, origin, trust, signature, and its sources.

        Raises:
            NotFoundError: There is none that the principal may read.
        """
        return self._engine.provenances.provenance(self._actor, check_ref(ref))

    def trace(self, text: str, *, k: int = 20, space: str | None = None) -> list[Trace]:
        """Find the memories that a text found elsewhere came from, among all that may be read.

        A passage of 12 consecutive words that was copied is found for sure, and so is the whole of
        a shorter memory, down to 6 words; case and punctuation do not matter.

        Args:
            text: The text, such as a web page or a model's answer.
            k: The most memories to return.
            space: Only this subtree.

        Returns:
            The memories, those with most words in the text first, with the passages.

        Raises:
            InvalidInputError: The text is empty or too long, or `k` or the space is malformed.
        """
        if not isinstance(text, str) or not text.strip():
            raise InvalidInputError("the text is empty: give the text that is to be traced")
        most = self._engine.settings.max_content_bytes
        if len(text) > most:
            raise InvalidInputError(f"the text is longer than {most:,} characters: cut it up")
        if self._actor.at is not None:
            raise InvalidInputError("this session looks at the past: trace in one of the present")
        self._check_count(k, "k")
        return self._engine.tracer.trace(self._scope(None, space), text, k)

    @contextmanager
    def pipeline(self) -> Iterator[Session]:
        """Chain operations in one transaction: all of them, or none.

        Every verb that writes, and `get` and `history`, of any session of this vault joins while
        the block runs in this thread. A refusal or an error undoes all of the chain at once, and
        the refusal stands in the ledger. Searches, listings and traces read what is committed, so
        they are refused within.

        Raises:
            ConflictError: The chain was undone, and the block went on as if it were not.

        Example:
            >>> from memos_core.testing import temporary_memos
            >>> with temporary_memos() as memos:
            ...     alice = memos.session("user:alice")
            ...     with alice.pipeline() as chain:
            ...         old = chain.add("The boat leaves at nine.")
            ...         _ = chain.update(old.id, "The boat leaves at ten.")
            ...     alice.search("boat").texts
            ['The boat leaves at ten.']
        """
        with self._engine.gate.pipeline(self._actor):
            yield self

    def at(self, when: datetime) -> Session:
        """Look at the vault as it was recorded at an instant; the session only reads.

        What was forgotten since then stays forgotten, what has expired stays expired, and a version
        is shown only if the principal may read it under its label of then and the memory's of now.
        Its pages are built for each search, so a search in the past costs more than one of today.

        Args:
            when: The instant; aware, not in the future.

        Raises:
            InvalidInputError: It is naive or in the future.
        """
        instant = to_micros(require_aware(when, "when"))
        with self._engine.gate.vault.read() as tx:
            if instant > tx.now:
                raise InvalidInputError(f"{when.isoformat()} is in the future: nothing is recorded")
        return Session(self._engine, replace(self._actor, at=instant))

    def _duties(self) -> tuple[Duty, ...]:
        """List what a worker can do under the rights of this session; see `MemOS.maintain`."""
        engine = self._engine
        return (Tidying(engine.gate.vault, engine.organizing.relater, self._actor),)

    def _question(self, query: str, k: int, options: SearchOptions) -> Question:
        if not isinstance(query, str) or not query.strip():
            raise InvalidInputError("the query is empty: ask something, or use get_all to list")
        self._check_count(k, "k")
        return Question(query, k, None, None, options)

    def _check_count(self, count: int, name: str) -> None:
        most = self._engine.settings.max_k
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
            raise InvalidInputError(f"{name} is between 1 and {most}, not {count!r}")

    def _scope(self, where: Filter | None, space: str | None) -> Scope:
        if space is not None:
            check_space(space)
        return Scope(self._actor, space, parse_filter(where))


def check_budget(budget_tokens: int) -> None:
    """Refuse a budget that is not a count.

    Raises:
        InvalidInputError: It is not.
    """
    if isinstance(budget_tokens, bool) or not isinstance(budget_tokens, int) or budget_tokens < 0:
        raise InvalidInputError(f"budget_tokens is a whole number from 0, not {budget_tokens!r}")
