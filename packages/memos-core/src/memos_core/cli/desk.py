"""The desk: what every verb works at — the shared options, the vault that they name, the screen.

The shared options (`--vault`, `--as`, `--space`, `--purpose`, `--embedder`, `--json`) are written
before the verb or after it; what stands after it counts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from memos_core.cli.output import Screen
from memos_core.draft import Key
from memos_core.errors import InvalidInputError, VaultError
from memos_core.infrastructure.ledger import Anchor
from memos_core.infrastructure.vault.layout import MARKER
from memos_core.models.embedder import MINILM, ONNX_MINILM, Embedder, embedder_named
from memos_core.session import Session
from memos_core.settings import Settings
from memos_core.system import MemOS

P = ParamSpec("P")
ASSERTED: Final = (
    "On your own machine identity is asserted, not authenticated: whoever can read the vault's "
    "files can act as anybody."
)
_PANEL: Final = "Shared options (before the verb or after it)"


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared options; None is what was not given.

    Args:
        vault: The vault's directory.
        principal: Who acts.
        space: The subtree that the session is bound to.
        purpose: What for.
        embedder: The name of one of the embedders that MemOS brings.
        as_json: Print JSON.
    """

    vault: str | None = None
    principal: str | None = None
    space: str | None = None
    purpose: str | None = None
    embedder: str | None = None
    as_json: bool | None = None

    def under(self, closer: Shared) -> Shared:
        """Return these options, overridden by those that stand closer to the verb."""
        given = {each.name: getattr(closer, each.name) for each in fields(closer)}
        return replace(self, **{name: v for name, v in given.items() if v is not None})


class Desk:
    """What a verb works at.

    Args:
        shared: The shared options, as they count for this verb.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.screen = Screen(as_json=bool(shared.as_json))

    @property
    def root(self) -> Path:
        """The vault's directory."""
        return Path(self.shared.vault or "./vault").expanduser().absolute()

    def make(self, owner: str) -> None:
        """Make the vault.

        Raises:
            VaultError: There is one already, or there cannot be one.
        """
        if self._is_vault():
            raise VaultError(f"there is a vault already at {self.root}: nothing was changed")
        with self._opened(Settings(owner=owner)):
            pass

    @contextmanager
    def memos(self, anchors: Sequence[Anchor] = ()) -> Iterator[MemOS]:
        """Open the vault; a directory that is none is left alone.

        Args:
            anchors: Where checkpoints go.

        Raises:
            VaultError: There is no vault.
        """
        # What is no directory cannot be made by opening it: the vault says what it thinks of it.
        if "://" not in (self.shared.vault or "") and not self._is_vault():
            raise VaultError(f"no vault at {self.root}: run memos init")
        with self._opened(Settings(), anchors) as memos:
            yield memos

    @contextmanager
    def session(self, anchors: Sequence[Anchor] = ()) -> Iterator[Session]:
        """Open the vault and act in it as `--as` says.

        Args:
            anchors: Where checkpoints go.

        Raises:
            typer.BadParameter: Nobody is said to act.
        """
        shared = self.shared
        if shared.principal is None:
            raise typer.BadParameter(
                "who acts? Write --as user:NAME, or set MEMOS_PRINCIPAL", param_hint="--as"
            )
        with self.memos(anchors) as memos:
            yield memos.session(
                shared.principal, space=shared.space, purpose=shared.purpose or "assist"
            )

    @contextmanager
    def _opened(self, settings: Settings, anchors: Sequence[Anchor] = ()) -> Iterator[MemOS]:
        # The location goes through as it was written, for the vault knows more kinds than we do.
        location, embedder = self.shared.vault or "./vault", self._embedder()
        try:
            memos = MemOS.open(location, embedder=embedder, settings=settings, anchors=anchors)
        except OSError as error:
            raise _unusable(self.root, error) from error
        with memos:
            yield memos

    def _embedder(self) -> Embedder | None:
        name = self.shared.embedder
        if name is None:
            return None
        try:
            return embedder_named(name)
        except InvalidInputError as error:
            raise typer.BadParameter(
                f"{name!r} is not an embedder that MemOS brings: use {MINILM}, {ONNX_MINILM} or, "
                "for tests, hashing-256",
                param_hint="--embedder",
            ) from error

    def _is_vault(self) -> bool:
        try:
            return self.root.joinpath(MARKER).is_file()
        except OSError as error:
            raise _unusable(self.root, error) from error


def _unusable(root: Path, error: OSError) -> VaultError:
    return VaultError(f"the vault at {root} cannot be used: {error.strerror or error}")


@contextmanager
def usage(option: str) -> Iterator[None]:
    """Call a malformed value what it is on a command line: bad usage of an option.

    Args:
        option: The option, as it is written.
    """
    try:
        yield
    except InvalidInputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def the_ref(ref: str | None, key: str | None) -> str | Key:
    """Return the one memory that a verb is about.

    Raises:
        typer.BadParameter: It is named twice or not at all.
    """
    if (ref is None) == (key is None):
        raise typer.BadParameter(
            "name one memory, by its id or by --key", param_hint="REF or --key"
        )
    return Key(key) if key is not None else str(ref)


def verb(function: Callable[Concatenate[Desk, P], None]) -> Callable[..., None]:
    """Make a command of a function: a desk for its first parameter, and the shared options.

    Args:
        function: Does the verb; its parameters after the desk are Typer's.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    @functools.wraps(function)
    def command(ctx: typer.Context, **given: Any) -> None:
        closer = Shared(**{each.name: given.pop(each.name) for each in fields(Shared)})
        outer = ctx.obj if isinstance(ctx.obj, Shared) else Shared()
        shared = outer.under(closer)
        # A path may be any bytes; everything else ends up in the vault, which holds text.
        _refuse_bytes({**given, **asdict(shared), "vault": None})
        function(Desk(shared), **given)  # type: ignore[call-arg]  # Typer fills them

    return _signed(command, [*own, *_offered(environment=False)])


def _refuse_bytes(given: Mapping[str, Any]) -> None:
    """Refuse arguments that are no text, which Python passes on as lone surrogates."""
    for name, value in given.items():
        several = value if isinstance(value, list) else [value]
        try:
            "".join(each for each in several if isinstance(each, str)).encode("utf-8")
        except UnicodeEncodeError as error:
            raise typer.BadParameter("it is not UTF-8", param_hint=name) from error


def remember_shared() -> Callable[..., None]:
    """Make the callback that reads the shared options before the verb, and the environment."""

    def before(ctx: typer.Context, **given: Any) -> None:
        ctx.obj = Shared(**given)

    return _signed(before, _offered(environment=True))


def _offered(*, environment: bool) -> list[inspect.Parameter]:
    """Describe the shared options to Typer.

    Args:
        environment: Read what was not given from the environment. After the verb it is not read:
            it would override what was written before.
    """

    def option(name: str, kind: Any, flag: str, variable: str, text: str) -> inspect.Parameter:
        found = typer.Option(
            flag,
            envvar=(variable or None) if environment else None,
            help=text,
            rich_help_panel=None if environment else _PANEL,
        )
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, found]
        )

    text, flag = str | None, bool | None
    return [
        option("vault", text, "--vault", "MEMOS_VAULT", "The vault's directory; ./vault if unset."),
        option("principal", text, "--as", "MEMOS_PRINCIPAL", f"Who acts: user:NAME. {ASSERTED}"),
        option("space", text, "--space", "", "Read and write in this space only, e.g. acme/hr."),
        option("purpose", text, "--purpose", "", "What for; assist if unset."),
        option(
            "embedder",
            text,
            "--embedder",
            "MEMOS_EMBEDDER",
            f"{MINILM}, {ONNX_MINILM}, or hashing-256 (spelling only: for tests). A vault "
            "remembers the one that it was made with.",
        ),
        option("as_json", flag, "--json", "", "Print one JSON value, and nothing else, to stdout."),
    ]


def _signed(
    function: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Show Typer these parameters after the context; it reads a function's signature."""
    kind = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shown = [context.replace(annotation=typer.Context)]
    shown += [each.replace(kind=kind) for each in parameters]
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # inspect looks
    function.__annotations__ = {each.name: each.annotation for each in shown}
    return function
