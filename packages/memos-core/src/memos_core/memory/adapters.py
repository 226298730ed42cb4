"""The adapters in a model: several at once, on for one generation, and without a trace when off.

Within the model each has a name of fixed length. PEFT finds adapters by their names, and where one
name is within another it may take the one for the other.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from memos_core.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from memos_core.memory.generation import seeded
from memos_core.memory.injection import Injection, Memory
from memos_core.memory.parametric import Adapter
from memos_core.memory.recipe import Recipe

if TYPE_CHECKING:
    from peft import LoraModel
    from peft.tuners.lora import LoraLayer
    from transformers import PreTrainedModel

    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class Loaded:
    """An adapter within a model.

    Args:
        inner: Its name there.
        digest: The adapter's digest; empty while it is being trained.
    """

    inner: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Switch:
    names: tuple[str, ...]

    @contextmanager
    def opened(self, model: LocalModel) -> Iterator[Injection]:  # noqa: ARG002
        yield Injection(adapters=self.names)


class Adapters:
    """The adapters that are loaded into a model.

    Args:
        model: The model.
        lock: The lock under which it computes.
        base: Tells the id of the model's fingerprint without adapters.

    Example:
        >>> from memos_core.testing.models import random_model
        >>> random_model("llama").adapters.names
        ()
    """

    def __init__(
        self, model: PreTrainedModel, lock: threading.RLock, base: Callable[[], str]
    ) -> None:
        self._model = model
        self._lock = lock
        self._base = base
        self._tuner: LoraModel | None = None
        self._loaded: dict[str, Loaded] = {}
        self._layers: list[LoraLayer] = []
        self._learns: dict[str, bool] = {}
        self._switched: tuple[list[str], bool] = ([], False)
        self._depth = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of those that are loaded."""
        return tuple(self._loaded)

    def load(self, name: str, adapter: Adapter) -> None:
        """Put an adapter into the model. It is off until it is asked for.

        Args:
            name: What it is called from now on. Loading the same under the same name does nothing.
            adapter: What was trained on this model.

        Raises:
            ConflictError: Another one has this name.
            IntegrityError: It was trained on another model, or does not fit this one.
        """
        digest = adapter.digest
        with self._lock:
            known = self._loaded.get(name)
            if known is not None and known.digest == digest:
                return
            if adapter.base != self._base():
                raise IntegrityError(
                    "the adapter was trained on another model: train one on this model"
                )
            self._check_shapes(adapter)
            self.put(name, adapter.rank, adapter.alpha, adapter.layers, digest=digest)
            if self.matrices(name).keys() != adapter.tensors.keys():
                self.unload(name)
                raise IntegrityError("the adapter changes the model's last layer, which is not run")
            self.fill(name, adapter.tensors)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Wait until the model computes nothing, and keep it so within the block."""
        with self._lock:
            yield

    def unload(self, name: str) -> None:
        """Take an adapter out of the model; the last one leaves it as it was before the first.

        Raises:
            NotFoundError: None has this name.
        """
        with self._lock:
            inner = self._inner(name)
            if self._tuner is None:
                return
            if len(self._loaded) == 1:
                self._tuner.unload()
                self._tuner = None
                self._adapted()
                for each, parameter in self._model.named_parameters():
                    parameter.requires_grad_(self._learns[each])
            else:
                self._tuner.set_adapter([])
                self._tuner.delete_adapter(inner)
                self._adapted()
            del self._loaded[name]

    def unload_if_idle(self, name: str) -> bool:
        """Take an adapter out of the model unless the model computes now.

        Returns:
            Whether it is out; also where it was not in.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._depth:  # this very thread is in the middle of a generation
                return False
            if name in self._loaded:
                self.unload(name)
            return True
        finally:
            self._lock.release()

    @contextmanager
    def active(self, names: Sequence[str], *, learns: bool = False) -> Iterator[None]:
        """Switch adapters on within the block, and all others off; the model is locked meanwhile.

        A generation switches those of its own memory on, whatever block it is called in: see `on`.

        Args:
            names: Those that are on; what they do adds up. With none, the base alone computes.
            learns: Whether their matrices can be trained.

        Raises:
            NotFoundError: One is not loaded.
        """
        with self._lock:
            before = self._switched
            self._switch([self._inner(name) for name in dict.fromkeys(names)], learns=learns)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                self._switch(*before)

    def on(self, *names: str) -> Memory:
        """Return memory for `LocalModel.generate`: these adapters, for nobody to revoke.

        Args:
            *names: Of loaded adapters.
        """
        return _Switch(names)

    @contextmanager
    def learning(self, name: str, recipe: Recipe) -> Iterator[None]:
        """Put an adapter into the model that is trained within the block; then it is taken out.

        Args:
            name: What it is called meanwhile.
            recipe: Its shape, and the seed of its first numbers.
        """
        self.put(name, recipe.rank, recipe.scale, recipe.targets, seed=recipe.seed)
        try:
            yield
        finally:
            self.unload(name)

    def digest(self, names: Sequence[str]) -> str:
        """Return the SHA-256 of which adapters these are, as hex digits; of none, nothing.

        Raises:
            NotFoundError: One is not loaded.
        """
        found = [self._known(name).digest for name in dict.fromkeys(names)]
        return hashlib.sha256("".join(found).encode()).hexdigest() if found else ""

    def put(
        self,
        name: str,
        rank: int,
        alpha: float,
        layers: Sequence[str] | None,
        *,
        digest: str = "",
        seed: int = 0,
    ) -> None:
        """Put a new adapter into the model that changes nothing yet, and is off.

        Args:
            name: What it is called.
            rank: Its rank.
            alpha: It is added with the weight `alpha / rank`.
            layers: The names of the adapted layers, or their ends; all linear ones by default.
            digest: Of what it is going to be filled with.
            seed: Of its first numbers.

        Raises:
            ConflictError: One has this name.
            InvalidInputError: The model has no such layers.
        """
        from peft import LoraConfig, LoraModel
        from peft.functional import cast_adapter_dtype

        with self._lock, seeded(seed, self._model.device):
            if name in self._loaded:
                raise ConflictError(f"an adapter {name!r} is loaded: unload it first")
            self._base()  # what the base is must be known before anything is put into it
            scale: Any = alpha  # PEFT reads any number
            config: Any = LoraConfig(
                r=rank,
                lora_alpha=scale,
                target_modules=self._linear(layers),
                lora_dropout=0.0,
                bias="none",
            )
            inner = hashlib.sha256(name.encode()).hexdigest()[:32]
            if self._tuner is None:
                self._learns = {n: p.requires_grad for n, p in self._model.named_parameters()}
                self._tuner = LoraModel(self._model, config, inner)
            else:
                self._tuner.peft_config[inner] = config
                self._tuner.inject_adapter(self._model, inner)
            self._loaded[name] = Loaded(inner, digest)
            cast_adapter_dtype(self._model, inner)
            self._adapted()

    def matrices(self, name: str) -> dict[str, torch.nn.Parameter]:
        """Return the matrices of a loaded adapter, by the names that `Adapter` uses."""
        inner = self._inner(name)
        found: dict[str, torch.nn.Parameter] = {}
        for layer, module in self._model.named_modules():
            for side in ("lora_A", "lora_B"):
                held = getattr(module, side, None)
                if isinstance(held, torch.nn.ModuleDict) and inner in held:
                    weight: Any = held[inner].weight
                    found[f"{layer}.{side}"] = weight
        return found

    def fill(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy tensors into the matrices of a loaded adapter."""
        with self._lock, torch.no_grad():
            for key, weight in self.matrices(name).items():
                weight.copy_(tensors[key])

    def _adapted(self) -> None:
        """Take note of the adapted layers after a change, with all adapters off."""
        from peft.tuners.lora import LoraLayer

        self._layers = [each for each in self._model.modules() if isinstance(each, LoraLayer)]
        for layer in self._layers:
            layer.enable_adapters(False)
        self._switched = ([], False)

    def _switch(self, inner: list[str], learns: bool = False) -> None:
        """Switch adapters on and all others off."""
        if (inner, learns) == self._switched:
            return
        for layer in self._layers:
            if inner:
                if layer.disable_adapters:
                    layer.enable_adapters(True)
                layer.set_adapter(inner, inference_mode=not learns)
            else:
                layer.enable_adapters(False)
        self._switched = (inner, learns)

    def _linear(self, ends: Sequence[str] | None) -> list[str]:
        """Find linear layers by their names or the ends of these; all but the last by default."""
        network: Any = self._model
        last = network.get_output_embeddings()
        found = [
            name
            for name, module in self._model.named_modules()
            if isinstance(getattr(module, "base_layer", module), torch.nn.Linear)
            and module is not last
            and "lora_" not in name
            and not name.endswith(".base_layer")
        ]
        if ends is not None:
            found = [each for each in found if f".{each}".endswith(tuple(f".{e}" for e in ends))]
        if not found:
            raise InvalidInputError(
                f"the model has no linear layers {', '.join(ends or ())} to adapt: name others"
            )
        return found

    def _check_shapes(self, adapter: Adapter) -> None:
        """See that every adapted layer is a linear one of the right shape."""
        for layer in adapter.layers:
            try:
                module: Any = self._model.get_submodule(layer)
            except AttributeError as error:
                raise IntegrityError(f"the model has no layer {layer}") from error
            module = getattr(module, "base_layer", module)
            sizes = (getattr(module, "in_features", None), getattr(module, "out_features", None))
            theirs = (
                adapter.tensors[f"{layer}.lora_A"].shape[1],
                adapter.tensors[f"{layer}.lora_B"].shape[0],
            )
            if sizes != theirs:
                raise IntegrityError(
                    f"the adapter turns {theirs[0]} numbers into {theirs[1]} at {layer}, and the "
                    f"model {sizes[0]} into {sizes[1]}"
                )

    def _known(self, name: str) -> Loaded:
        if name not in self._loaded:
            raise NotFoundError(f"no adapter {name!r} is loaded: load it first")
        return self._loaded[name]

    def _inner(self, name: str) -> str:
        return self._known(name).inner
