"""Adopting: adapters from outside, taken in where somebody vouches for them.

Tensors cannot be read by people, so an adapter whose origin nobody knows may do anything. It is
taken in with a signature by a key that the caller trusts, or with the caller's own word, which the
ledger keeps. KV caches from outside are not taken in: activating their text makes them anew.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from memos_core.cube import Source
from memos_core.draft import Draft
from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.tensors import LoRARecord

if TYPE_CHECKING:
    from memos_core.memory.parametric import Adapter
    from memos_core.memory.recipe import Recipe
    from memos_core.memory.runtime import LocalModel

VERB: Final = "memos.adopt"
CONTEXT: Final = b"memos-adapter/1\0"
"""What a signature is made over begins with this; the adapter's bytes follow."""
MY_WORD: Final = "I know where this adapter comes from, and trust it"
_MOST_BYTES: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who vouches for an adapter from outside.

    Args:
        origin: Where it comes from; governors set the trust of origins.
        signature: An Ed25519 signature over `CONTEXT` and the bytes, in base64.
        trusted_key: The public key that it must be by, as 64 hex digits.
        my_word: Instead of the two: "I know where this adapter comes from, and trust it".
    """

    origin: str
    signature: str = ""
    trusted_key: str = ""
    my_word: str = ""

    @property
    def by(self) -> str:
        """On whose account it is taken in: a key, or one's own word."""
        return f"key {self.trusted_key}" if self.signature else "my word"

    def check(self, data: bytes) -> None:
        """Refuse what nobody vouches for.

        Raises:
            InvalidInputError: Neither a signature with a key is given, nor one's word.
            IntegrityError: The signature is not of this key, or not over these bytes.
        """
        if self.my_word == MY_WORD and not self.signature:
            return
        if not self.signature or not self.trusted_key:
            raise InvalidInputError(
                "nobody vouches for this adapter: give its signature and the key that you trust, "
                f"or my_word={MY_WORD!r}"
            )
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.trusted_key))
            key.verify(base64.b64decode(self.signature, validate=True), CONTEXT + data)
        except (InvalidSignature, ValueError, binascii.Error) as error:
            raise IntegrityError(
                "the signature is not by the key that you trust, or not over these bytes: nothing "
                "was taken in"
            ) from error


def read_source(source: Path | bytes, voucher: Voucher, base: str) -> Adapter:
    """Read an adapter from outside, once somebody vouches for it.

    Args:
        source: A folder that PEFT wrote, a file that `Adapter.dump` wrote, or its bytes.
        voucher: Who vouches for it.
        base: The fingerprint of the model that it is for, where the source does not say.

    Raises:
        InvalidInputError: It is not there, or nobody vouches for it.
        IntegrityError: It is not what was vouched for, or no adapter, or would have to be revived.
    """
    from memos_core.memory.outside import CONFIG, TENSORS, adapter_of, check_peft
    from memos_core.memory.parametric import load_adapter

    if isinstance(source, bytes):
        voucher.check(source)
        return load_adapter(source)
    if source.is_dir():
        check_peft(source)
        # Read once: what is vouched for is what is used, whatever becomes of the folder meanwhile.
        config, tensors = _bytes(source / CONFIG), _bytes(source / TENSORS)
        voucher.check(b"\0".join([config, tensors]))
        return adapter_of(config, tensors, base=base)
    data = _bytes(source)
    voucher.check(data)
    return load_adapter(data)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InvalidInputError(f"{path.name} is larger than any adapter")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error


def examined(
    model: LocalModel, adapter: Adapter, recipe: Recipe, origin: str
) -> tuple[LoRARecord, bytes]:
    """Put an adapter from outside before the gate, and describe it.

    What it was taught is not known, so the gate asks only whether the model keeps what it knew.
    Where that cannot be measured it does not pass.

    Args:
        model: The model.
        adapter: The adapter.
        recipe: What the gate asks.
        origin: Where it is from, for its description.

    Returns:
        What is known of it, and its bytes.
    """
    from memos_core.memory.recipe import shortfall_of
    from memos_core.memory.training import retention_of

    kept, probes = retention_of(model, adapter, recipe)
    data = replace(adapter, recipe=recipe).dump()
    lost = shortfall_of(kept, probes, recipe)
    if lost and not probes:
        lost += ": ask with more probes, or longer ones (Recipe.probes, Recipe.text_tokens)"
    known = LoRARecord(
        rank=adapter.rank,
        bytes=len(data),
        lessons=0,
        steps=0,
        seconds=0.0,
        recall=0.0,
        recall_before=0.0,
        retention=kept,
        passed=not lost,
        reasons=(
            *([lost] if lost else []),
            f"from outside ({origin}): what it was taught is not known; {probes} probes",
        ),
        recipe=recipe.model_dump(mode="json"),
    )
    return known, data


def shaped(draft: Draft, voucher: Voucher) -> Draft:
    """Let a memory say where its adapter comes from."""
    return replace(draft, source=Source(origin=voucher.origin))
