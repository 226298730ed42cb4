"""Activation memory through the vault: what is written with a cache is what the prompt gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save

from memos_core import (
    ConflictError,
    DamagedError,
    InvalidInputError,
    MemCube,
    MemOS,
    Message,
    NotFoundError,
    Session,
)
from memos_core.infrastructure.vault import schema
from memos_core.memory.runtime import LocalModel
from memos_core.tensors import KVRecord
from memos_core.testing.models import FAMILIES, random_model
from tests.conftest import Proof
from tests.inner import (
    as_text,
    asked_of,
    at_pass,
    blob_files,
    forged,
    hooked,
    opened,
    words,
    written,
)
from tests.recollecting import in_another_process

NEW = 64
ASKED = [words(91, 6), words(92, 6), words(93, 6)]
"""Of one length, so that they are computed together."""


@pytest.fixture(scope="module")
def llama() -> LocalModel:
    return random_model("llama")


def remembered(session: Session, count: int = 3, size: int = 14) -> list[str]:
    return [session.add(words(seed, size)).id for seed in range(count)]


def test_another_process_writes_with_the_cache_what_it_writes_with_the_plain_prompt(
    folder: Path, proof: Proof
) -> None:
    jobs: list[dict[str, Any]] = []
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        ids = remembered(alice)
        for family in FAMILIES:
            model = random_model(family)
            cache = alice.activate(ids, model, chat=False)
            assert cache.kv is not None
            jobs.append(
                {
                    "principal": "user:alice",
                    "cache": cache.id,
                    "model": {"family": family},
                    "asked": ASKED,
                    "new": NEW,
                }
            )
    found = in_another_process(folder, jobs)
    for job, each in zip(jobs, found, strict=True):
        injected, plain = each["injected"], each["plain"]
        assert injected["ids"] == plain["ids"], job["model"]
        assert {len(ids) for ids in plain["ids"]} == {NEW}
        assert len({str(ids) for ids in plain["ids"]}) == len(ASKED), "prompts are looked at"
        assert min(injected["tokens"]) > 30
        assert injected["notes"] == plain["notes"] == []
        assert plain["tokens"] == [0] * 4
        # The same words, asked where they never went through a vault.
        model = random_model(job["model"]["family"])
        here = model.generate(f"{each['text']}\n\n{ASKED[0]}", max_new_tokens=NEW)
        assert list(here.ids) == injected["ids"][0]
        proof(
            f"cache through the vault, other process, {job['model']['family']}",
            len(injected["ids"]),
            "same 64 greedy tokens",
        )


def test_another_model_in_any_part_uses_the_text_and_says_so(folder: Path, proof: Proof) -> None:
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        cache = alice.activate(remembered(alice), random_model("llama"), chat=False)
    wrong: list[dict[str, Any]] = [
        {"family": "llama", "seed": 1},
        {"family": "qwen3"},
        {"family": "llama", "dtype": "bfloat16"},
        {"family": "llama", "tokenizer": "strange"},
        {"family": "llama", "library": "0.0.1"},
    ]
    jobs = [
        {"principal": "user:alice", "cache": cache.id, "model": m, "asked": ASKED, "new": 8}
        for m in wrong
    ]
    for model, each in zip(wrong, in_another_process(folder, jobs), strict=True):
        assert each["injected"]["ids"] == each["plain"]["ids"], model
        assert each["injected"]["tokens"] == [0] * 4
        assert "computed by another model: its text was used" in each["injected"]["notes"][0]
    proof("caches of other models, tokenizers, dtypes, libraries", len(wrong) * 4, "0 used")


# -- damage -------------------------------------------------------------------------------------


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def swapped(data: bytes, _rng: random.Random) -> bytes:
    """Exchange two layers; everything about the file is still well formed."""
    length = int.from_bytes(data[:8], "little")
    import json

    said = json.loads(data[8 : 8 + length])["__metadata__"]
    tensors = load(data)
    for kind in ("keys", "values"):
        one, other = f"0.{kind}", f"2.{kind}"
        tensors[one], tensors[other] = tensors[other], tensors[one]
    return save(tensors, said)


def emptied(_data: bytes, _rng: random.Random) -> bytes:
    return b""


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": cut,
    "flipped": flipped,
    "layers swapped": swapped,
    "emptied": emptied,
}


class Damaged:
    """A vault with two caches, of which one is going to be damaged."""

    def __init__(self, folder: Path, model: LocalModel) -> None:
        self.folder, self.model = folder, model
        with opened(folder) as memos:
            alice = memos.session("user:alice")
            ids = remembered(alice)
            self.cache = alice.activate(ids, model, chat=False).id
            self.other = alice.activate(remembered(alice, 2, 20), model, chat=False).id
            self.context = alice.recollect(self.cache, model)
            self.expected = written(model, as_text(self.context), ASKED)
            assert written(model, self.context, ASKED) == self.expected
        self.of = {
            cube: asked_of(
                folder,
                f"SELECT b.id FROM blobs b JOIN blob_uses u ON u.blob_id = b.id "
                f"WHERE u.cube_id = '{cube}' ORDER BY b.created, b.id",
            )
            for cube in (self.cache, self.other)
        }

    def path(self, blob: str) -> Path:
        return self.folder / "blobs" / f"{blob}.safetensors"

    def check(self) -> None:
        """What is written is what the text gives, with a note; the doctor names the memory."""
        self.check_text()
        with opened(self.folder) as memos:
            problems = memos.diagnose().problems
            assert any(self.cache in each for each in problems), problems

    def check_text(self) -> None:
        """What is written is what the text gives, with a note."""
        with opened(self.folder) as memos:
            alice = memos.session("user:alice")
            try:
                context = alice.recollect(self.cache, self.model)
                made = self.model.generate_many(ASKED, memory=context, max_new_tokens=16)
            except DamagedError:
                pass
            else:
                assert [each.ids for each in made] == self.expected
                assert {each.injected_tokens for each in made} == {0}
                assert all("its text was used" in each.notes[0] for each in made)


@pytest.mark.parametrize("how", list(DAMAGE))
def test_a_damaged_blob_is_never_served(
    folder: Path, llama: LocalModel, how: str, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    vault, rng = Damaged(folder, llama), random.Random(how)
    trials = scaled(2, 200)
    for number in range(trials):
        path = vault.path(vault.of[vault.cache][number % len(vault.of[vault.cache])])
        whole = path.read_bytes()
        path.write_bytes(DAMAGE[how](whole, rng))
        vault.check()
        path.write_bytes(whole)
    with opened(folder) as memos:
        assert memos.diagnose().is_healthy
        context = memos.session("user:alice").recollect(vault.cache, llama)
        assert llama.generate(ASKED[0], memory=context, max_new_tokens=4).injected_tokens > 0
    proof(f"blobs {how}", trials, "0 served")


def test_layers_that_were_swapped_and_whose_row_was_sealed_anew_are_never_served(
    folder: Path, llama: LocalModel
) -> None:
    from memos_core.infrastructure.blobs.store import digest_of

    vault = Damaged(folder, llama)
    blob = vault.of[vault.cache][0]
    data = swapped(vault.path(blob).read_bytes(), random.Random(0))
    vault.path(blob).write_bytes(data)
    size = len(data)
    forged(folder, schema.blobs, f"id = '{blob}'", digest=digest_of(data), size=size)
    vault.check_text()


def test_a_blob_exchanged_with_another_caches_is_never_served(
    folder: Path, llama: LocalModel
) -> None:
    vault = Damaged(folder, llama)
    one, other = vault.path(vault.of[vault.cache][0]), vault.path(vault.of[vault.other][0])
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)
    vault.check()


@pytest.mark.parametrize("sealed", [True, False])
def test_a_row_that_points_to_another_caches_blob_is_never_followed(
    folder: Path, llama: LocalModel, sealed: bool
) -> None:
    vault = Damaged(folder, llama)
    mine, theirs = vault.of[vault.cache][0], vault.of[vault.other][0]
    where = f"cube_id = '{vault.cache}' AND blob_id = '{mine}'"
    if sealed:
        forged(folder, schema.blob_uses, where, blob_id=theirs)
    else:
        import sqlite3

        with sqlite3.connect(folder / "vault.db") as raw:
            raw.execute(f"UPDATE blob_uses SET blob_id = '{theirs}' WHERE {where}")
    vault.check_text()


def test_a_file_that_changes_while_it_is_loaded_is_not_used_on(
    folder: Path, llama: LocalModel
) -> None:
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        cache = alice.activate(remembered(alice), llama, chat=False)
        context = alice.recollect(cache, llama)
        plain = written(llama, as_text(context), ASKED)
        assert written(llama, context, ASKED) == plain
        path = max(blob_files(folder), key=lambda each: each.stat().st_size)
        whole = path.read_bytes()
        half = len(whole) // 2
        for changed in (whole[:half] + bytes(256) + whole[half + 256 :], whole[:half], None):
            if changed is None:
                path.unlink()
            else:
                with path.open("r+b") as stream:  # the file itself, not another in its place
                    stream.write(changed)
                    stream.truncate(len(changed))
            made = llama.generate_many(ASKED, memory=context, max_new_tokens=16)
            assert [each.ids for each in made] == plain
            assert all("its text was used" in each.notes[0] for each in made)
        path.write_bytes(whole)
        found = llama.generate(ASKED[0], memory=context, max_new_tokens=16)
        assert (found.ids, found.injected_tokens > 0) == (plain[0], True)


# -- sharing ------------------------------------------------------------------------------------


def test_prefixes_are_stored_and_loaded_once_under_one_label(
    folder: Path, llama: LocalModel
) -> None:
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        ids = remembered(alice, 4)
        first = alice.activate(ids[:2], llama, chat=False)
        alone = len(blob_files(folder))
        longer = alice.activate(ids, llama, chat=False)
        again = alice.activate(ids, llama, chat=False)
        assert alone == 2
        assert len(blob_files(folder)) == 4, "two runs are shared, and the second time all"
        assert {p.digest for p in kv(first).parts} < {p.digest for p in kv(longer).parts}
        assert kv(longer).parts == kv(again).parts
        contexts = [alice.recollect(each, llama) for each in (first, longer, again)]
        for context in contexts:
            assert written(llama, context, ASKED) == written(llama, as_text(context), ASKED)
        held = memos._engine.inner.loader.nbytes
        assert held == sum(each.stat().st_size for each in blob_files(folder))
        elsewhere = alice.activate(ids, llama, chat=False, sensitivity="restricted")
        assert len(blob_files(folder)) == 8, "under another label nothing is shared"
        assert not set(of(folder, memos, first.id)) & set(of(folder, memos, elsewhere.id))
        alice.forget(longer.id)
        assert len(blob_files(folder)) == 8, "all of it is needed by the third"
        assert written(llama, contexts[2], ASKED) == written(llama, as_text(contexts[2]), ASKED)
        alice.forget(again.id)
        assert len(blob_files(folder)) == 6
        assert memos.diagnose().is_healthy


def of(_folder: Path, memos: MemOS, cube: str) -> list[str]:
    with memos._vault.read() as tx:
        query = "SELECT blob_id FROM blob_uses WHERE cube_id = ?"
        return [row[0] for row in tx.connection.exec_driver_sql(query, (cube,))]


def kv(cube: MemCube) -> KVRecord:
    assert cube.kv is not None
    return cube.kv


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_less_precision_is_smaller_is_measured_and_says_so(
    folder: Path, llama: LocalModel, precision: Any
) -> None:
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        ids = remembered(alice, 3, 40)
        exact = alice.activate(ids, llama, chat=False)
        small = alice.activate(ids, llama, chat=False, precision=precision)
        assert kv(exact).error == {}
        assert kv(small).bytes < kv(exact).bytes / 2
        assert set(kv(small).error) == {"logit", "kl"}
        assert 0 < kv(small).error["kl"] < 0.1
        context = alice.recollect(small, llama)
        made = llama.generate(ASKED[0], memory=context, max_new_tokens=4)
        assert made.injected_tokens > 0
        assert "is not exact" in made.notes[0]
        assert f"{kv(small).error['kl']:.2g}" in made.notes[0]


# -- what it is made of -------------------------------------------------------------------------


def test_a_text_that_is_no_memory_activates_too(alice: Session, llama: LocalModel) -> None:
    text = words(5, 30)
    for chat in (False, True):
        cache = alice.activate(text, llama, chat=chat)
        context = alice.recollect(cache, llama)
        assert text in context.text
        asked: Any = [Message(role="user", parts=ASKED[0])] if chat else ASKED[0]
        made = llama.generate(asked, memory=context, max_new_tokens=16)
        plain = llama.generate(asked, memory=as_text(context), max_new_tokens=16)
        assert (made.ids, made.injected_tokens >= 30, made.notes) == (plain.ids, True, ())
        assert alice.read_out(cache.id).text == text
        assert alice.search(text, k=10).texts == []


def test_a_text_with_a_secret_is_as_sensitive_as_the_secret(
    memos: MemOS, owner: Session, llama: LocalModel
) -> None:
    owner.grant("user:bob", "read", on="acme")
    text = "the key is sk-live-4eC39HqLyjWDarjtT1zdp7dc0000 or write to a.b@example.org"
    cache = owner.activate(text, llama, space="acme")
    bob = memos.session("user:bob")
    with pytest.raises(NotFoundError):
        bob.recollect(cache.id, llama)
    owner.set_clearance("user:bob", "restricted")
    assert text in bob.recollect(cache.id, llama).text


def test_a_changed_source_is_told_as_it_is_now(alice: Session, llama: LocalModel) -> None:
    ids = [alice.add(words(seed, 14), key=f"k{seed}").id for seed in range(3)]
    cache = alice.activate(ids, llama, chat=False)
    whole = kv(cache).tokens
    alice.update(ids[1], "w280 w281 w282")
    fresh = alice.context(words(0, 14), budget_tokens=900, model=llama)
    assert fresh.cache is None, "a cache of what was once said is not chosen"
    context = alice.recollect(cache, llama)
    assert "w280 w281 w282" in context.text
    made = llama.generate_many(ASKED, memory=context, max_new_tokens=16)
    assert [each.ids for each in made] == written(llama, as_text(context), ASKED)
    assert {each.injected_tokens < whole for each in made} == {True}
    assert all("begin the prompt" in each.notes[0] for each in made)
    again = alice.activate(ids, llama, chat=False)
    assert alice.context(words(0, 14), budget_tokens=900, model=llama).cache == again.id


def test_a_cache_that_is_recalled_answers_as_its_words_do(
    alice: Session, llama: LocalModel
) -> None:
    ids = remembered(alice, 4)
    cache = alice.activate(ids[:3], llama)
    asked = [Message(role="user", parts=words(0, 5))]
    context = alice.context(words(0, 5), budget_tokens=900, model=llama)
    assert context.cache == cache.id
    made = llama.generate(asked, memory=context, max_new_tokens=NEW)
    plain = llama.generate(asked, memory=as_text(context), max_new_tokens=NEW)
    assert (made.ids, made.injected_tokens, made.notes) == (plain.ids, kv(cache).tokens, ())


def test_what_cannot_be_activated_is_refused(alice: Session, llama: LocalModel) -> None:
    cache = alice.activate(alice.add("w1 w2"), llama)
    for sources in (cache, [cache.id], "", "  ", [], ["mem_" + "a" * 20]):
        with pytest.raises((InvalidInputError, NotFoundError)):
            alice.activate(sources, llama)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="no model"):
        alice.activate("w1")
    with pytest.raises(InvalidInputError, match="precision"):
        alice.activate("w1", llama, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match="two KV caches"):
        alice.recollect([cache, alice.activate("w9", llama)], llama)
    with alice.pipeline() as chain, pytest.raises(ConflictError):
        chain.activate("w1", llama)


def test_what_happens_to_a_source_while_it_is_computed_counts(
    folder: Path, memos: MemOS, alice: Session, bob: Session, llama: LocalModel
) -> None:
    first, second, third = remembered(alice, 3)
    with hooked(llama, at_pass(1, lambda: alice.update(second, "w280 w281"))):
        cache = alice.activate([first, second], llama, chat=False)
    context = alice.recollect(cache, llama)
    assert "w280 w281" in context.text
    made = llama.generate(ASKED[0], memory=context, max_new_tokens=8)
    assert (made.injected_tokens, made.notes) == (kv(cache).tokens, ())
    before = blob_files(folder)
    with (
        hooked(llama, at_pass(1, lambda: alice.forget(third))),
        pytest.raises(NotFoundError),
    ):
        alice.activate([third, second], llama, chat=False)
    grant = alice.grant("user:bob", ["read", "derive"], on="user:alice")
    with (
        hooked(llama, at_pass(1, lambda: alice.revoke(grant))),
        pytest.raises(NotFoundError),
    ):
        bob.activate([second, first], llama, chat=False)
    assert blob_files(folder) == before, "nothing of what was computed in vain is kept"
    assert memos.diagnose().is_healthy


def test_a_prefix_that_is_damaged_is_computed_anew(folder: Path, llama: LocalModel) -> None:
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        ids = remembered(alice)
        was = alice.activate(ids[:2], llama, chat=False)
        for path in blob_files(folder):
            path.write_bytes(path.read_bytes()[:-9])
        made = alice.activate(ids, llama, chat=False)
        context = alice.recollect(made, llama)
        found = llama.generate(ASKED[0], memory=context, max_new_tokens=8)
        assert (found.injected_tokens, found.notes) == (kv(made).tokens, ())
        assert [found.ids] == written(llama, as_text(context), ASKED[:1], 8)
        alice.forget(was.id)
        assert memos.diagnose().is_healthy
