"""MemCube: the paper's samples, JSON in and out, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import Document, InvalidInputError, Kind, MemCube, Message, Sensitivity
from memos_core.content import format_of, revive, text_of, to_json_value

META = {
    "created": "2025-04-10",
    "last_used": "2025-05-01",
    "source": "session_3894",
    "model": "LLaMA3-8B",
    "usage": 78,
    "priority": "mid",
    "expires": "2025-06-01",
    "access": ["user_483", "admin"],
    "tags": ["non-sensitive"],
    "embedding_fp": "[dim=128]",
    "storage_mode": "compressed",
}
PAYLOADS = {
    Kind.PLAINTEXT: {"type": "explicit", "format": "text", "content": "The visa needs a photo."},
    Kind.ACTIVATION: {
        "type": "activation",
        "format": "tensor",
        "injection_layer": 12,
        "value": "[0.1, 0.2]",
    },
    Kind.PARAMETRIC: {
        "type": "parametric",
        "format": "lora_patch",
        "module": "mlp.6.down_proj",
        "value": "AAAA",
    },
}


@pytest.mark.parametrize("kind", list(Kind))
def test_the_papers_sample_of_each_kind_loads_and_dumps_unchanged(kind: Kind) -> None:
    sample = {"meta": META, "payload": PAYLOADS[kind]}
    cube = MemCube.from_json(json.dumps(sample))
    assert cube.kind is kind
    assert json.loads(cube.to_json()) == sample
    assert MemCube.from_json(cube.to_json()) == cube


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"meta": {"nonsense": 1}}, "nonsense"),
        ({"meta": {"created": "2025-04-10T10:00:00"}}, "naive"),
        ({"meta": {"usage": -1}}, "usage"),
        ({"meta": {"kind": "activation"}}, "payload is explicit"),
        ({"meta": {"sensitivity": "secret"}}, "unknown sensitivity"),
        ({"payload": {"type": "pickle", "value": "x"}}, "payload"),
        (
            {"payload": {"type": "explicit", "format": "message", "content": {"role": "god"}}},
            "role",
        ),
        ({"payload": {"type": "explicit", "format": "text", "content": 3}}, "string"),
    ],
)
def test_a_malformed_cube_is_refused_by_name_of_the_field(
    change: dict[str, Any], says: str
) -> None:
    sample = {"meta": {}, "payload": PAYLOADS[Kind.PLAINTEXT]} | change
    with pytest.raises(InvalidInputError, match=says):
        MemCube.from_json(json.dumps(sample))


def test_a_cube_cannot_be_changed_in_place() -> None:
    cube = MemCube.from_json(json.dumps({"meta": META, "payload": PAYLOADS[Kind.PLAINTEXT]}))
    with pytest.raises(ValueError, match="frozen"):
        cube.meta.usage = 3  # type: ignore[misc]


contents = st.one_of(
    st.text(min_size=1),
    st.builds(Message, role=st.sampled_from(["user", "assistant", "tool"]), parts=st.text()),
    st.builds(Document, text=st.text(), title=st.none() | st.text()),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)


@given(contents)
def test_any_content_comes_back_equal_from_its_stored_form(content: Any) -> None:
    stored = json.loads(json.dumps(to_json_value(content)))
    assert revive(stored, format_of(content)) == content
    assert isinstance(text_of(content), str)


def test_sensitivities_are_ordered_from_public_to_restricted() -> None:
    assert list(Sensitivity) == sorted(Sensitivity)
    assert Sensitivity.parse("public") < Sensitivity.parse("restricted")
