"""The runtime: what a model writes with a state injected is what it writes without it."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from safetensors.torch import save
from transformers import MambaConfig, MambaForCausalLM, T5Config, T5ForConditionalGeneration

from memos_core import IntegrityError, InvalidInputError, Message
from memos_core.memory.activation import KVState, load_state
from memos_core.memory.joining import join
from memos_core.memory.runtime import LocalModel
from memos_core.testing.models import FAMILIES, random_model, word_tokenizer
from tests.conftest import Proof

NEW = 64


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request: pytest.FixtureRequest) -> LocalModel:
    return random_model(request.param)


@pytest.fixture(scope="module")
def llama() -> LocalModel:
    return random_model("llama")


def words(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(290)}" for _ in range(count))


def test_injected_and_plain_prompts_give_the_same_tokens(model: LocalModel, proof: Proof) -> None:
    memory = model.prefill(words(0, 50))
    prompts = [f"{memory.text} {words(n, 5 + 4 * n)}" for n in range(1, 4)]
    stored = load_state(memory.dump())
    plain = [model.generate(each, max_new_tokens=NEW) for each in prompts]
    for state in (memory, stored):
        injected = [model.generate(each, memory=state, max_new_tokens=NEW) for each in prompts]
        assert [each.ids for each in injected] == [each.ids for each in plain]
        assert {each.injected_tokens for each in injected} == {50}
        assert {len(each.ids) for each in injected} == {NEW}
        together = model.generate_many(prompts, memory=state, max_new_tokens=NEW)
        assert [each.ids for each in together] == [each.ids for each in plain]
        same = model.generate_many([prompts[0]] * 3, memory=state, max_new_tokens=NEW)
        assert [each.ids for each in same] == [plain[0].ids] * 3
    assert len({each.ids for each in plain}) == 3, "the model does look at its prompt"
    proof(f"injected against plain, {model.fingerprint.family}", 2 * 3 * 3, "same greedy tokens")


def test_a_use_leaves_the_state_as_it_was(model: LocalModel) -> None:
    memory = model.prefill(words(0, 30))
    before = memory.dump()
    for n in range(3):
        model.generate(f"{memory.text} {words(n, 5)}", memory=memory, max_new_tokens=8)
        model.generate_many([f"{memory.text} w{n}"] * 2, memory=memory, max_new_tokens=8)
    assert memory.dump() == before


def test_only_what_the_prompt_begins_with_is_injected(model: LocalModel) -> None:
    memory = model.prefill(words(0, 30))
    other = model.prefill(words(1, 30))
    half = " ".join(memory.text.split()[:20]) + " " + words(2, 9)
    for prompt, state, count in (
        (half, memory, 20),
        (memory.text, memory, 29),  # one token is always computed
        (f"{memory.text} w1", other, 0),
        ("w5", memory, 0),
    ):
        plain = model.generate(prompt, max_new_tokens=16)
        found = model.generate(prompt, memory=state, max_new_tokens=16)
        assert (found.ids, found.injected_tokens) == (plain.ids, count)
        assert bool(found.notes) == (count in (0, 20))


def test_another_model_tokenizer_or_dtype_falls_back_and_says_so(llama: LocalModel) -> None:
    memory = llama.prefill(words(0, 30))
    prompt = f"{memory.text} {words(1, 6)}"
    others = [
        random_model("llama", seed=1),
        random_model("llama", dtype=torch.bfloat16),
        random_model("qwen3"),
    ]
    changed = word_tokenizer()
    changed.add_tokens(["new"])
    others.append(LocalModel(llama.model, changed))
    retemplated = word_tokenizer()
    retemplated.chat_template += " "
    others.append(LocalModel(llama.model, retemplated))
    assert len({each.fingerprint.id for each in [llama, *others]}) == len(others) + 1
    for each in others:
        found = each.generate(prompt, memory=memory, max_new_tokens=16)
        assert found.ids == each.generate(prompt, max_new_tokens=16).ids
        assert found.injected_tokens == 0
        assert "another model" in found.notes[0]
    assert random_model("llama").fingerprint == llama.fingerprint


def test_one_changed_weight_is_another_model() -> None:
    one, other = random_model("llama"), random_model("llama")
    with torch.no_grad():
        other.model.lm_head.weight[5, 7] += 1e-6
    assert one.fingerprint.weights != other.fingerprint.weights


def damaged(state: KVState) -> dict[str, bytes]:
    """Make stored states whose parts do not fit together."""
    data = state.dump()
    tensors = {f"{n}.{kind}": t for n, p in enumerate(state.layers) for kind, t in zip(
        ("keys", "values"), p, strict=True)}  # fmt: skip
    said = {"memos": '{"format":"memos-kv/1","fingerprint":"m","ids":[1],"layers":4,"text":""}'}
    return {
        "nothing": b"",
        "cut": data[:-7],
        "cut in the header": data[:60],
        "no metadata": save({"a": torch.zeros(1)}),
        "another format": save({"a": torch.zeros(1)}, {"memos": "{}"}),
        "a layer too few": save(dict(list(tensors.items())[:-1]), said),
        "a layer too many": save(tensors | {"9.keys": torch.zeros(1)}, said),
        "other ids": save(tensors, said),
        "no json": save(tensors, {"memos": "x"}),
    }


def test_a_stored_state_that_does_not_fit_together_is_refused(llama: LocalModel) -> None:
    for data in damaged(llama.prefill(words(0, 12))).values():
        with pytest.raises(IntegrityError):
            load_state(data)


def test_a_conversation_goes_through_the_models_template(llama: LocalModel) -> None:
    memory = [Message(role="system", parts=words(0, 20))]
    state = llama.prefill(memory)
    asked = [*memory, Message(role="user", parts=words(1, 5))]
    found = llama.generate(asked, memory=state, max_new_tokens=16)
    assert found.injected_tokens == len(state.ids) == 22
    assert found.ids == llama.generate(asked, max_new_tokens=16).ids
    bare = LocalModel(llama.model, word_tokenizer())
    bare.tokenizer.chat_template = None
    with pytest.raises(InvalidInputError, match="no chat template"):
        bare.generate(asked)


def test_a_stream_says_the_same_and_stops_when_nobody_listens(llama: LocalModel) -> None:
    state = llama.prefill(words(0, 20))
    prompt = f"{state.text} {words(1, 5)}"
    whole = llama.generate(prompt, max_new_tokens=NEW).text
    assert "".join(llama.stream(prompt, memory=state, max_new_tokens=NEW)) == whole
    listening = llama.stream(prompt, max_new_tokens=10_000_000)
    assert next(listening)
    listening.close()
    assert not any(each.name.startswith("memos-generate") for each in threading.enumerate())
    with pytest.raises(InvalidInputError):
        next(llama.stream(""))


def test_callers_of_several_threads_get_their_own_answers(llama: LocalModel) -> None:
    states = [llama.prefill(words(n, 20)) for n in range(4)]
    jobs = [(state, f"{state.text} {words(9, 4)}") for state in states] * 3
    expected = [llama.generate(prompt, max_new_tokens=16).ids for _, prompt in jobs]

    def work(job: tuple[KVState, str]) -> Any:
        return llama.generate(job[1], memory=job[0], max_new_tokens=16).ids

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, jobs)) == expected


def test_a_seed_repeats_an_answer_and_disturbs_no_others(llama: LocalModel) -> None:
    torch.manual_seed(3)
    undisturbed = torch.rand(3)
    torch.manual_seed(3)
    one, two, three = (
        llama.generate("w1 w2", temperature=1.0, seed=seed, max_new_tokens=16).ids
        for seed in (1, 1, 2)
    )
    assert one == two != three
    assert torch.equal(torch.rand(3), undisturbed)


def test_what_cannot_be_a_model_or_a_prompt_is_refused(llama: LocalModel) -> None:
    small = {"d_model": 16, "num_layers": 1, "vocab_size": 20}
    with pytest.raises(InvalidInputError, match="does not continue"):
        LocalModel(T5ForConditionalGeneration(T5Config(**small)), word_tokenizer())
    mamba = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=300))
    with pytest.raises(InvalidInputError, match="as text"):
        LocalModel(mamba, word_tokenizer()).prefill("w1 w2")
    for prompt in ("", [], [1, 999], [-1], [True], ["x"]):
        with pytest.raises(InvalidInputError):
            llama.generate(prompt)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gemma2"])
def test_states_that_were_computed_apart_join_only_where_lossy_is_said(
    family: str, proof: Proof
) -> None:
    model = random_model(family)
    first, second = model.prefill(words(0, 12)), model.prefill(words(1, 12))
    with pytest.raises(InvalidInputError, match="lossy=True"):
        join(model, first, second, lossy=False)
    joined = join(model, first, second, lossy=True)
    assert joined.ids == (*first.ids, *second.ids)
    assert joined.divergence is not None
    assert 0 < joined.divergence < 3
    found = model.generate([*joined.ids, 9], memory=joined, max_new_tokens=2)
    assert found.injected_tokens == 24
    assert any("not exact" in note for note in found.notes)
    with pytest.raises(InvalidInputError, match="not stored"):
        joined.dump()
    # The turning itself is exact: of one token, nothing but its place was missing in layer 0.
    exact = model.prefill(joined.ids)
    assert torch.allclose(joined.layers[0][0], exact.layers[0][0], atol=1e-4)
    proof(f"joined, {family}", 1, f"{joined.divergence:.3f} nats off")


@pytest.mark.parametrize("family", ["gpt_neox", "gemma3_text"])
def test_states_of_a_model_whose_positions_cannot_be_moved_are_not_joined(family: str) -> None:
    model = random_model(family)
    with pytest.raises(InvalidInputError, match="cannot be moved"):
        join(model, model.prefill("w1 w2"), model.prefill("w3 w4"), lossy=True)


def test_a_joined_state_of_another_model_is_refused() -> None:
    model, other = random_model("llama"), random_model("llama", seed=1)
    with pytest.raises(InvalidInputError, match="not of this model"):
        join(model, model.prefill("w1 w2"), other.prefill("w3 w4"), lossy=True)
