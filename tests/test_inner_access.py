"""Memory inside models is for whoever may read all that it was made of, and only as long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    ConflictError,
    DeniedError,
    Draft,
    FullError,
    InvalidInputError,
    Key,
    MemOS,
    Message,
    NotFoundError,
    Patch,
    Session,
)
from memos_core.memory.recipe import Recipe
from memos_core.memory.runtime import LocalModel
from memos_core.operation.inner.adopting import MY_WORD, Voucher
from memos_core.operation.quotas import READS
from memos_core.testing import HashingEmbedder, ManualClock
from memos_core.testing.models import random_model, trained_model
from tests.inner import QUICK, as_text, at_pass, hooked, opened, quick_adapter, words
from tests.processes import others

FIXTURE = Path(__file__).parent / "models" / "fact_llama"
ASKED = words(90, 6)
FACT = "the badge of Ana is red."
KINDS = {"kind": {"$in": ["activation", "parametric"]}}


@pytest.fixture(scope="module")
def llama() -> LocalModel:
    return random_model("llama")


@pytest.fixture(scope="module")
def facts() -> LocalModel:
    return trained_model(FIXTURE)


@pytest.fixture
def trainer(memos: MemOS) -> Session:
    return memos.session("user:alice", purpose="train")


# -- who may make it ----------------------------------------------------------------------------


def test_who_may_read_but_not_derive_can_neither_activate_nor_distill(
    memos: MemOS, owner: Session, llama: LocalModel, facts: LocalModel
) -> None:
    both = ("assist", "train")
    owner.grant("user:bob", ["read", "write"], on="acme", purposes=both)
    cube = owner.add(FACT, space="acme")
    bob, trains = (memos.session("user:bob", purpose=each) for each in both)
    for space in ("acme", None):
        with pytest.raises(DeniedError, match="derive"):
            bob.activate(cube, llama, space=space)
        with pytest.raises(DeniedError, match="derive"):
            trains.distill(cube, facts, recipe=QUICK, space=space)
    told = [(each.action, each.outcome) for each in bob.audit.query(limit=4).items]
    assert told == [("memos.distill", "denied"), ("memos.activate", "denied")] * 2
    owner.grant("user:bob", "derive", on="acme", purposes=both)
    assert bob.activate(cube, llama, space="acme").kind == "activation"
    assert trains.distill(cube, facts, recipe=QUICK).kind == "parametric"


def test_adapters_are_made_for_the_purpose_train_only(
    alice: Session, trainer: Session, facts: LocalModel
) -> None:
    cube = alice.add(FACT)
    made = trainer.distill(cube, facts, recipe=QUICK)
    word = Voucher("friend", my_word=MY_WORD)
    for ask in (
        lambda: alice.distill(cube, facts, recipe=QUICK),
        lambda: alice.retrain(made.id, facts, recipe=QUICK),
        lambda: alice.retrain(None, facts),
        lambda: alice.adopt(b"", facts, voucher=word),
    ):
        with pytest.raises(DeniedError, match="purpose='train'"):
            ask()
    told = [each.action for each in alice.audit.query(limit=4).items]
    assert told == ["memos.adopt", "memos.retrain", "memos.retrain", "memos.distill"]


def test_what_is_seen_in_part_is_not_made_part_of_a_model(
    memos: MemOS, owner: Session, llama: LocalModel, facts: LocalModel
) -> None:
    both = ("assist", "train")
    owner.grant("user:bob", ["read", "write", "derive"], on="acme", purposes=both)
    cube = owner.add("the mail of w1 is a.b@example.org.", space="acme")
    bob, trains = (memos.session("user:bob", purpose=each) for each in both)
    assert bob.get(cube.id).meta.redacted
    with pytest.raises(DeniedError, match="only in part"):
        bob.activate(cube, llama)
    with pytest.raises(DeniedError, match="only in part"):
        trains.distill(cube, facts, recipe=QUICK)
    with pytest.raises(DeniedError, match="only in part"):
        owner.activate(cube, llama, space="acme")
    owner.set_clearance("user:owner", "restricted")
    made = owner.activate(cube, llama, space="acme")
    assert "a.b@example.org" in owner.recollect(made.id, llama).text
    for ask in (bob.get, bob.read_out, lambda each: bob.recollect(each, llama)):
        with pytest.raises(NotFoundError):
            ask(made.id)


def test_only_who_governs_a_space_takes_adapters_in_from_outside(
    memos: MemOS, owner: Session, trainer: Session, facts: LocalModel
) -> None:
    """Whoever reads there has it in his model: one's own word is not enough for others."""
    made = trainer.distill(trainer.add(FACT), facts, recipe=QUICK)
    data = blob_of(memos, made.id).read_bytes()
    word = Voucher("friend", my_word=MY_WORD)
    owner.grant("user:alice", ["read", "write", "derive", "share"], on="acme", purposes=("train",))
    with pytest.raises(DeniedError, match="govern"):
        trainer.adopt(data, facts, voucher=word, recipe=QUICK, space="acme")
    assert trainer.adopt(data, facts, voucher=word, recipe=QUICK).kind == "parametric"
    owner.grant("user:alice", "govern", on="acme", purposes=("train",))
    assert trainer.adopt(data, facts, voucher=word, recipe=QUICK, space="acme").id


def test_an_adapter_of_which_nothing_could_be_measured_is_not_switched_on(
    memos: MemOS, trainer: Session, llama: LocalModel
) -> None:
    """A model of random weights is sure of nothing: whether it keeps that cannot be asked."""
    made = trainer.distill(trainer.add(FACT), llama, recipe=QUICK)
    word = Voucher("friend", my_word=MY_WORD)
    taken = trainer.adopt(blob_of(memos, made.id).read_bytes(), llama, voucher=word, recipe=QUICK)
    for each, reasons in ((made, 1), (taken, 2)):
        assert each.lora is not None
        assert (each.lora.passed, len(each.lora.reasons)) == (False, reasons)
        with pytest.raises(ConflictError, match="cannot be measured what it keeps"):
            trainer.enable(each.id)


def test_an_adapter_from_outside_that_harms_what_the_model_knew_is_not_switched_on(
    memos: MemOS, trainer: Session, facts: LocalModel
) -> None:
    careless = QUICK.model_copy(update={"learning_rate": 0.9, "replay": 0.0, "max_steps": 3})
    made = trainer.distill(trainer.add(FACT), facts, recipe=careless)
    word, strict = Voucher("friend", my_word=MY_WORD), Recipe(probes=16, text_tokens=8)
    data = blob_of(memos, made.id).read_bytes()
    taken = trainer.adopt(data, facts, voucher=word, recipe=strict)
    assert taken.lora is not None
    assert taken.lora.retention < 0.98
    with pytest.raises(ConflictError, match=r"of what the base knew, and 98\.0% is asked"):
        trainer.enable(taken.id)


def blob_of(memos: MemOS, cube_id: str) -> Path:
    with memos._vault.read() as tx:
        query = "SELECT blob_id FROM blob_uses WHERE cube_id = ?"
        blob = tx.connection.exec_driver_sql(query, (cube_id,)).scalar_one()
    return memos._vault.directory.blobs / f"{blob}.safetensors"


# -- who may use it, and how long -----------------------------------------------------------------


class Shared:
    """Two memories in two places, and a cache of both, which Bob may read at first."""

    def __init__(self, memos: MemOS, model: LocalModel) -> None:
        self.memos, self.model = memos, model
        self.owner, self.bob = memos.session("user:owner"), memos.session("user:bob")
        self.owner.add_member("group:staff", "user:bob")
        self.owner.grant("group:staff", "read", on="acme/one")
        self.grant = self.owner.grant("user:bob", "read", on="acme/two")
        self.owner.grant("user:bob", "read", on="acme/made")
        self.owner.grant("user:mallory", ["read", "write"], on="acme/two")
        mallory = memos.session("user:mallory")
        self.first = self.owner.add(words(1, 12), space="acme/one")
        self.second = mallory.add(words(2, 12), space="acme/two", source="import:two.md")
        self.cache = self.owner.activate(
            [self.first, self.second], model, space="acme/made", key="cache", chat=False
        )

    def generated(self) -> Any:
        return self.model.generate(
            ASKED, memory=self.bob.recollect(self.cache.id, self.model), max_new_tokens=8
        )


Hide = Callable[[Shared, ManualClock], object]
HIDES: dict[str, Hide] = {
    "a grant revoked": lambda s, _c: s.owner.revoke(s.grant),
    "a membership ended": lambda s, _c: s.owner.remove_member("group:staff", "user:bob"),
    "a source forgotten": lambda s, _c: s.owner.forget(s.second.id),
    "the cache forgotten": lambda s, _c: s.owner.forget(s.cache.id),
    "a source more sensitive": lambda s, _c: s.owner.update(
        s.second.id,
        Patch(sensitivity="restricted"),  # type: ignore[arg-type]
    ),
    "a source for others": lambda s, _c: s.owner.update(
        s.second.id, Patch(access=frozenset({"user:owner"}))
    ),
    "a source for another purpose": lambda s, _c: s.owner.update(
        s.second.id, Patch(purposes=frozenset({"support"}))
    ),
    "an author in quarantine": lambda s, _c: s.owner.governance.quarantine(
        "user:mallory", on="acme"
    ),
    "an origin in quarantine": lambda s, _c: s.owner.governance.quarantine(
        "import:two.md", on="acme"
    ),
    "a source ended": lambda s, c: (
        s.owner.update(s.second.id, Patch(expires=timedelta(hours=1))),
        c.turn(timedelta(hours=2)),
    ),
    "a secret in a source": lambda s, _c: s.owner.update(
        s.second.id, "my key is sk-live-4eC39HqLyjWDarjtT1zdp7dc0000"
    ),
}


@pytest.mark.parametrize("how", list(HIDES))
def test_who_may_not_read_one_of_the_sources_any_more_finds_no_cache(
    memos: MemOS, clock: ManualClock, llama: LocalModel, how: str
) -> None:
    shared = Shared(memos, llama)
    bob, cache = shared.bob, shared.cache
    assert shared.generated().injected_tokens > 0
    held = bob.recollect(cache.id, llama)
    HIDES[how](shared, clock)
    absent = "mem_" + "a" * 20
    for ask in (
        bob.get,
        bob.history,
        bob.provenance,
        bob.read_out,
        lambda each: bob.recollect(each, llama),
        lambda each: bob.activate(each, llama),
        bob.enable,
        bob.freeze,
        bob.forget,
    ):
        with pytest.raises(NotFoundError) as refused:
            ask(cache.id)
        with pytest.raises(NotFoundError) as missing:
            ask(absent)
        assert str(refused.value).replace(cache.id, absent) == str(missing.value)
    with pytest.raises(NotFoundError):
        bob.get(Key("cache", "acme/made"))
    assert bob.search(words(1, 12), k=20, where=KINDS).texts == []
    assert [each.id for each in bob.get_all(where=KINDS)] == []
    context = bob.context(words(1, 12), budget_tokens=900, model=llama)
    assert context.cache is None
    with pytest.raises(NotFoundError), held.opened(llama):
        pytest.fail("what was recollected before is not opened")
    with pytest.raises(NotFoundError):
        llama.generate(ASKED, memory=held, max_new_tokens=4)


@pytest.mark.parametrize("how", list(HIDES))
def test_an_answer_in_progress_is_not_released(
    memos: MemOS, clock: ManualClock, llama: LocalModel, how: str
) -> None:
    shared = Shared(memos, llama)
    memory = shared.bob.recollect(shared.cache.id, llama)
    with (
        hooked(llama, at_pass(3, lambda: HIDES[how](shared, clock))),
        pytest.raises(NotFoundError),
    ):
        llama.generate(ASKED, memory=memory, max_new_tokens=8)
    denied = shared.bob.audit.query(limit=1).items[0]
    assert (denied.action, denied.outcome) == ("memos.inject", "not_found")


@pytest.mark.parametrize("how", list(HIDES))
def test_a_stream_stops_before_the_next_piece(
    memos: MemOS, clock: ManualClock, llama: LocalModel, how: str
) -> None:
    shared = Shared(memos, llama)
    memory = shared.bob.recollect(shared.cache.id, llama)
    stream = llama.stream(ASKED, memory=memory, max_new_tokens=1_000)
    released = [next(stream), next(stream)]
    HIDES[how](shared, clock)
    with pytest.raises(NotFoundError):
        released.append(next(stream))
    assert len(released) == 2


def test_words_of_which_a_part_is_hidden_meanwhile_are_not_used(
    memos: MemOS, owner: Session, bob: Session, llama: LocalModel
) -> None:
    owner.grant("user:bob", "read", on="acme")
    owner.set_clearance("user:owner", "restricted")
    cube = owner.add({"open": "w1 w2", "later": "w3"}, space="acme")
    for ask in (
        lambda: bob.recollect(cube, llama),
        lambda: bob.context("w1", budget_tokens=500, model=llama),
    ):
        context = ask()
        assert "w3" in context.text
        llama.generate(ASKED, memory=context, max_new_tokens=2)
        levels: Any = {"later": "restricted"}
        hide = Patch(field_sensitivity=levels)
        with (
            hooked(llama, at_pass(2, lambda p=hide: owner.update(cube.id, p))),  # type: ignore[misc]
            pytest.raises(NotFoundError),
        ):
            llama.generate(ASKED, memory=context, max_new_tokens=6)
        with pytest.raises(NotFoundError):
            llama.generate(ASKED, memory=context, max_new_tokens=2)
        assert "w3" not in bob.recollect(cube, llama).text.split()
        owner.update(cube.id, Patch(field_sensitivity={}))
        llama.generate(ASKED, memory=bob.recollect(cube, llama), max_new_tokens=2)


def test_another_process_stops_what_this_one_has_loaded(
    folder: Path, llama: LocalModel, facts: LocalModel
) -> None:
    def grant(alice: Session) -> Any:
        return alice.grant("user:bob", "read", on="user:alice")

    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        trainer = memos.session("user:alice", purpose="train")
        bob = memos.session("user:bob")
        with others(folder, "user:alice") as (other,):
            for verb in ("revoke", "forget", "disable"):
                given = grant(alice)
                source = alice.add(words(3, 12))
                made = (
                    quick_adapter(trainer, alice.add(FACT), facts)
                    if verb == "disable"
                    else alice.activate(source, llama, chat=False)
                )
                model = facts if verb == "disable" else llama
                told = {"revoke": given, "forget": source.id, "disable": made.id}[verb]
                memory = bob.recollect(made.id, model)
                model.generate(ASKED, memory=memory, max_new_tokens=2)  # loaded, and it works

                def act(verb: str = verb, told: Any = told) -> None:
                    getattr(other, verb)(told)

                with hooked(model, at_pass(2, act)), pytest.raises((NotFoundError, ConflictError)):
                    model.generate(ASKED, memory=memory, max_new_tokens=8)
                with pytest.raises((NotFoundError, ConflictError)):
                    model.generate(ASKED, memory=memory, max_new_tokens=2)
                if verb != "revoke":
                    alice.revoke(given)


# -- adapters -------------------------------------------------------------------------------------


def test_an_adapter_that_is_switched_off_stops_the_answer_in_progress(
    alice: Session, trainer: Session, facts: LocalModel
) -> None:
    made = quick_adapter(trainer, alice.add(FACT), facts)
    memory = alice.recollect(made.id, facts)
    stream = facts.stream("the badge of", memory=memory, max_new_tokens=1_000)
    next(stream)
    alice.disable(made.id)
    with pytest.raises(ConflictError, match="not enabled"):
        list(stream)
    alice.enable(made.id)
    with (
        hooked(facts, at_pass(2, lambda: alice.disable(made.id))),
        pytest.raises(ConflictError, match="not enabled"),
    ):
        facts.generate("the badge of", memory=memory, max_new_tokens=6)
    with pytest.raises(ConflictError, match="not enabled"):
        facts.generate("the badge of", memory=memory, max_new_tokens=2)
    with pytest.raises(ConflictError, match="not enabled"):
        alice.recollect(made.id, facts)
    alice.enable(made.id)
    facts.generate("the badge of", memory=memory, max_new_tokens=2)
    for away in (alice.archive, alice.forget):
        away(made.id)
        with pytest.raises((ConflictError, NotFoundError)):
            facts.generate("the badge of", memory=memory, max_new_tokens=2)


def test_what_who_governs_switched_off_a_writer_does_not_switch_on_again(
    memos: MemOS, owner: Session, facts: LocalModel
) -> None:
    owner.grant("user:bob", ["read", "write", "derive"], on="acme", purposes=("assist", "train"))
    owner.grant("user:gov", ["read", "write", "govern"], on="acme")
    bob, gov = memos.session("user:bob"), memos.session("user:gov")
    trainer = memos.session("user:bob", purpose="train")
    made = quick_adapter(trainer, bob.add(FACT, space="acme"), facts, space="acme")
    bob.disable(made.id)
    bob.enable(made.id)
    gov.disable(made.id, reason="it answers for others")
    trainer.retrain(made.id, facts, recipe=QUICK)  # a new version of it is no way around
    for again in (bob, trainer):
        with pytest.raises(DeniedError, match="user:gov, who governs acme: only whoever governs"):
            again.enable(made.id)
    told = bob.audit.query(action="memos.enable").items
    assert [each.outcome for each in told] == ["denied", "denied", "allowed", "allowed"]
    with pytest.raises(ConflictError, match="not enabled"):
        bob.recollect(made.id, facts)
    gov.enable(made.id)
    assert bob.recollect(made.id, facts).adapters == (made.id,)
    bob.disable(made.id)
    bob.enable(made.id)  # it was his own word


def test_an_adapter_goes_with_any_of_its_sources_and_leaves_the_model_as_it_was(
    alice: Session, trainer: Session
) -> None:
    facts = trained_model(FIXTURE)
    plain = facts.generate("the badge of", max_new_tokens=6).ids
    before = facts.model.state_dict().keys()
    sources = [alice.add(FACT), alice.add("the drink of Ben is tea.")]
    made = quick_adapter(trainer, sources, facts)
    memory = alice.recollect(made.id, facts)
    facts.generate("the badge of", memory=memory, max_new_tokens=6)
    assert len(facts.adapters.names) == 1
    assert alice.forget(sources[0].id).status == "erased"
    assert facts.adapters.names == ()
    assert facts.model.state_dict().keys() == before
    assert facts.generate("the badge of", max_new_tokens=6).ids == plain
    with pytest.raises(NotFoundError):
        facts.generate("the badge of", memory=memory, max_new_tokens=2)


def test_forgetting_waits_for_no_answer_that_another_is_writing(
    alice: Session, trainer: Session, facts: LocalModel
) -> None:
    one = quick_adapter(trainer, alice.add(FACT), facts)
    two = quick_adapter(trainer, alice.add("the drink of Ben is tea."), facts)
    for each in (one, two):
        facts.generate("the badge of", memory=alice.recollect(each, facts), max_new_tokens=2)
    memory = alice.recollect(two.id, facts)
    reports = []
    with hooked(facts, at_pass(2, lambda: reports.append(alice.forget(one.id)))):
        made = facts.generate("the badge of", memory=memory, max_new_tokens=8)
    assert made.notes == ()
    assert reports[0].status == "pending"
    assert "holds pages with it in memory" in reports[0].pending[0]
    assert alice.audit.erasure(reports[0]).status == "erased"
    assert len(facts.adapters.names) == 1


def test_adapters_that_do_not_fit_are_off_and_it_is_said(folder: Path, facts: LocalModel) -> None:
    with opened(folder, inner_budget_bytes=1_000) as memos:
        trainer = memos.session("user:alice", purpose="train")
        made = quick_adapter(trainer, trainer.add(FACT), facts)
        found = facts.generate(
            "the badge of", memory=trainer.recollect(made.id, facts), max_new_tokens=2
        )
        assert "do not fit into Settings.inner_budget_bytes" in found.notes[0]


def test_an_adapter_that_is_trained_anew_is_for_nobody_else_than_the_one_before(
    memos: MemOS, clock: ManualClock, owner: Session, facts: LocalModel
) -> None:
    trainer = memos.session("user:owner", purpose="train")
    owner.grant("user:bob", "read", on="acme")
    sources = [trainer.add(text, space="acme") for text in (FACT, "the drink of Ben is tea.")]
    fields: dict[str, Any] = {
        "space": "acme", "key": "mine", "access": {"user:owner"}, "sensitivity": "internal",
        "purposes": {"assist", "train"}, "tags": {"t"}, "metadata": {"n": 1},
        "expires": timedelta(days=3), "priority": "high",
    }  # fmt: skip
    was = quick_adapter(trainer, sources, facts, **fields)
    owner.forget(sources[0].id)
    (now,) = trainer.retrain(None, facts)
    for name in ("access", "sensitivity", "purposes", "tags", "metadata", "expires", "priority"):
        assert getattr(now.meta, name) == getattr(was.meta, name), name
    assert (now.meta.key, now.meta.state, now.meta.lineage) == (
        "mine",
        "activated",
        (sources[1].id,),
    )
    with pytest.raises(NotFoundError):
        memos.session("user:bob").get(now.id)
    trainer.distill(
        [sources[1], extra := trainer.add(FACT)], facts, recipe=QUICK, expires=timedelta(days=3)
    )
    owner.forget(extra.id)
    clock.turn(timedelta(days=9))
    with pytest.raises(ConflictError, match="given up"):
        trainer.retrain(None, facts)
    assert trainer.retrain(None, facts) == []


# -- where it turns up ----------------------------------------------------------------------------


def test_searches_and_lists_leave_it_out_unless_its_kind_is_asked(
    alice: Session, trainer: Session, llama: LocalModel, facts: LocalModel
) -> None:
    plain = alice.add(FACT, key="plain", tags={"x"})
    cache = alice.activate(plain, llama, key="cache", tags={"x"}, metadata={"n": 1})
    adapter = quick_adapter(trainer, plain, facts, key="adapter", tags={"x"})
    for query in (FACT, "cache", "adapter", "activation kv_cache", "x", cache.id):
        assert {hit.id for hit in alice.search(query, k=50)} <= {plain.id}
        assert {hit.id for hit in alice.search(query, k=50, where={"tags": "x"})} <= {plain.id}
        assert set(alice.context(query, budget_tokens=900).text.split()) & {"kv_cache"} == set()
    assert [each.id for each in alice.get_all()] == [plain.id]
    assert [each.id for each in alice.get_all(where={"tags": "x"})] == [plain.id]
    assert {each.cube.id for each in alice.trace(FACT)} <= {plain.id}
    for kind, made in (("activation", cache), ("parametric", adapter)):
        assert [each.id for each in alice.get_all(where={"kind": kind})] == [made.id]
        assert [hit.id for hit in alice.search("x", k=9, where={"kind": kind})] == [made.id]
        assert alice.get(made.id).meta.lineage == (plain.id,)
        assert alice.get(Key(made.meta.key or "")).id == made.id


def test_what_others_made_reaches_no_context_of_ones_own(
    memos: MemOS, alice: Session, bob: Session, trainer: Session,
    llama: LocalModel, facts: LocalModel,
) -> None:  # fmt: skip
    said = words(4, 12)
    mine = bob.add(said)
    for model in (llama, facts):
        alone = bob.context(said, budget_tokens=900, model=model)
        cache = alice.activate([alice.add(said), alice.add(FACT)], model)
        found = [cache.id]
        if model is facts:
            found.append(quick_adapter(trainer, alice.add(FACT), facts).id)
        again = bob.context(said, budget_tokens=900, model=model)
        assert (again.cache, again.adapters) == (None, ())
        assert [each.id for each in again.items] == [each.id for each in alone.items] == [mine.id]
        grant = alice.grant("user:bob", "read", on="user:alice")
        given = bob.context(said, budget_tokens=900, model=model)
        assert {given.cache, *given.adapters} - {None} == {found[-1]}
        bound = memos.session("user:bob", space="user:bob")
        narrow = bound.context(said, budget_tokens=900, model=model)
        assert (narrow.cache, narrow.adapters) == (None, ()), "a bound session stays in its space"
        alice.revoke(grant)
        with pytest.raises(NotFoundError):
            model.generate(ASKED, memory=given, max_new_tokens=2)
        assert bob.context(said, budget_tokens=900, model=model).adapters == ()


def test_the_archive_is_left_out_of_contexts_but_not_of_reach(
    alice: Session, llama: LocalModel
) -> None:
    first, second = alice.add("w1 w2 w3"), alice.add("w1 w7 w8")
    cache = alice.activate([first, second], llama)
    assert alice.context("w1", budget_tokens=500, model=llama).cache == cache.id
    alice.archive(second.id)
    found = alice.context("w1", budget_tokens=500, model=llama)
    assert found.cache is None
    assert "w1 w7 w8" not in found.text
    alice.unarchive(second.id)
    assert alice.context("w1", budget_tokens=500, model=llama).cache == cache.id
    alice.archive(cache.id)
    assert alice.context("w1", budget_tokens=500, model=llama).cache is None
    assert alice.recollect(cache.id, llama).cache == cache.id


# -- the ledger -----------------------------------------------------------------------------------


def test_every_verb_leaves_its_event(
    alice: Session, trainer: Session, facts: LocalModel, tmp_path: Path
) -> None:
    cube = alice.add(FACT)
    cache = alice.activate(cube, facts)
    made = trainer.distill(cube, facts, recipe=QUICK)
    alice.enable(made.id)
    memory = alice.recollect([cube.id, made.id], facts)
    facts.generate("the badge of", memory=memory, max_new_tokens=2)
    alice.read_out(cache.id)
    alice.disable(made.id)
    trainer.retrain(made.id, facts, recipe=QUICK)
    with pytest.raises(InvalidInputError, match="holds no adapter_config"):
        trainer.adopt(tmp_path, facts, voucher=Voucher("friend", my_word=MY_WORD))
    alice.forget(cache.id)
    told = [(e.action.removeprefix("memos."), e.outcome) for e in alice.audit.query().items][::-1]
    assert told == [
        *(("add", "allowed"), ("activate", "allowed"), ("distill", "allowed")),
        *(("enable", "allowed"), ("recollect", "allowed"), ("inject", "allowed")),
        *(("read_out", "allowed"), ("disable", "allowed"), ("retrain", "allowed")),
        *(("adopt", "denied"), ("forget", "allowed"), ("erase", "allowed")),
    ]
    told_of = alice.audit.query(action="memos.recollect").items[0].cubes
    assert told_of == (cube.id, made.id)


def test_what_a_cache_brings_along_is_told_and_counted_as_read(
    memos: MemOS, alice: Session, owner: Session, llama: LocalModel
) -> None:
    first, second = alice.add("w1 w2 w3"), alice.add("w7 w8 w9")
    cache = alice.activate([first, second], llama)
    context = alice.context("w1", budget_tokens=500, k=1, model=llama)
    assert context.cache == cache.id
    told = alice.audit.query(action="memos.context").items[0]
    assert told.cubes == (first.id, second.id, cache.id)
    for verb in (
        lambda: alice.recollect(first, llama),
        lambda: alice.read_out(cache.id),
        lambda: alice.context("w1", budget_tokens=500),
    ):
        owner.governance.set_quota("user:alice", reads_per_day=10_000)
        owner.governance.set_quota("user:alice", reads_per_day=4 + count_of_reads(alice))
        for _ in range(4):
            verb()
        with pytest.raises(FullError, match="reads"):
            verb()
        owner.governance.set_quota("user:alice")


def count_of_reads(session: Session) -> int:
    found = session.audit.query(limit=1_000).items
    return sum(each.action in READS and each.outcome != "denied" for each in found)


# -- the rest of its life -------------------------------------------------------------------------


def test_words_are_not_written_over_what_a_model_keeps(alice: Session, llama: LocalModel) -> None:
    cube = alice.add("w1 w2 w3")
    cache = alice.activate(cube, llama, key="k")
    for write in (
        lambda: alice.update(cache.id, "w5"),
        lambda: alice.update(cache.id, "w5", mode="append"),
        lambda: alice.update(cache.id, "w5", mode="merge"),
        lambda: alice.add_many([Draft("w5", key="k")], on_key="replace"),
        lambda: alice.update(cube.id, cache.payload),  # type: ignore[arg-type]
        lambda: alice.add(cache.payload),  # type: ignore[arg-type]
        lambda: alice.add_many([Draft(cache.payload, key="k")], on_key="replace"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidInputError):
            write()
    alice.update(cache.id, Patch(tags=frozenset({"new"})))
    assert alice.rollback(cache.id, 1).meta.tags == ()
    alice.freeze(cache.id)
    asked = [Message(role="user", parts="w4")]
    found = llama.generate(asked, memory=alice.recollect(cache.id, llama), max_new_tokens=2)
    assert (found.injected_tokens > 0, found.notes) == (True, ())


def test_a_session_in_the_past_switches_no_adapter_on_and_reads_what_was_said(
    memos: MemOS, clock: ManualClock, alice: Session, trainer: Session,
    facts: LocalModel, llama: LocalModel,
) -> None:  # fmt: skip
    cube = alice.add("w1 w2 w3 w4")
    made = quick_adapter(trainer, alice.add(FACT), facts)
    cache = alice.activate(cube, llama, chat=False)
    clock.turn(timedelta(days=1))
    then = clock.now()
    clock.turn(timedelta(days=1))
    alice.disable(made.id)
    alice.update(cube.id, "w9 w9")
    past = alice.at(then)
    with pytest.raises(ConflictError, match="looks at the past"):
        past.recollect(made.id, facts)
    context = past.recollect(cache.id, llama)
    assert "w1 w2 w3 w4" in context.text
    found = llama.generate(ASKED, memory=context, max_new_tokens=8)
    assert found.ids == llama.generate(ASKED, memory=as_text(context), max_new_tokens=8).ids
    for write in (
        lambda: past.activate(cube, llama),
        lambda: past.enable(made.id),
        lambda: memos.session("user:alice", purpose="train").at(then).distill(cube, facts),
    ):
        with pytest.raises(DeniedError, match="past"):
            write()
    assert past.context("w1", budget_tokens=500, model=llama).cache is None


def test_a_snapshot_brings_nothing_back_on(
    clock: ManualClock, alice: Session, trainer: Session, facts: LocalModel, llama: LocalModel
) -> None:
    cube = alice.add(FACT)
    early = quick_adapter(trainer, cube, facts)
    gone = alice.activate(cube, llama)
    clock.turn(timedelta(minutes=1))
    alice.snapshots.take("then")
    clock.turn(timedelta(minutes=1))
    alice.disable(early.id)
    alice.forget(gone.id)
    late = quick_adapter(trainer, cube, facts)
    alice.snapshots.restore("then")
    for adapter in (early, late):
        with pytest.raises(ConflictError, match="not enabled"):
            alice.recollect(adapter.id, facts)
    with pytest.raises(NotFoundError):
        alice.recollect(gone.id, llama)
    assert alice.context(FACT, budget_tokens=900, model=facts).adapters == ()


def test_quotas_count_the_bytes_of_blobs_for_whoever_made_them(
    memos: MemOS, owner: Session, llama: LocalModel, facts: LocalModel
) -> None:
    both = ("assist", "train")
    for name in ("user:ann", "user:ben"):
        owner.grant(name, ["read", "write", "derive"], on="acme", purposes=both)
        owner.governance.set_quota(name, size_bytes=50_000_000)
    ann, ben = (memos.session(f"user:{n}", space="acme", purpose="train") for n in ("ann", "ben"))
    source = ann.add(FACT)

    def used() -> list[int]:
        return [
            owner.governance.set_quota(name, size_bytes=50_000_000).bytes
            for name in ("user:ann", "user:ben")
        ]

    before = used()
    cache = ann.activate(source, llama)
    assert cache.kv is not None
    assert 0 < used()[0] - before[0] - cache.kv.bytes < 4_000
    ann.forget(cache.id)
    assert used() == before
    made = ann.distill(source, facts, recipe=QUICK)
    ben.retrain(made.id, facts, recipe=QUICK)  # the same bytes again cost nothing
    assert running(memos, "user:ann") == used()[0]
    ben.retrain(made.id, facts, recipe=QUICK.model_copy(update={"seed": 5}))
    counted, recounted = [running(memos, name) for name in ("user:ann", "user:ben")], used()
    assert counted == recounted, "what is counted as it goes is what there is"
    ann.forget(made.id)
    assert [running(memos, name) for name in ("user:ann", "user:ben")] == before == used()
    owner.governance.set_quota("user:ann", size_bytes=before[0] + 10_000)
    with pytest.raises(FullError, match="quota"):
        ann.activate(source, llama)
    assert memos.diagnose().is_healthy


def running(memos: MemOS, subject: str) -> int:
    """What the quota says without counting anew."""
    with memos._vault.read() as tx:
        query = "SELECT bytes FROM quotas WHERE subject = ?"
        found: int = tx.connection.exec_driver_sql(query, (subject,)).scalar_one()
        return found
