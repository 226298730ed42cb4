"""Identity per request: how an adapter that serves many users finds who acts.

An adapter is made with a `SessionSource`: a session; a callable that yields one from whatever the
framework passes along with a request; or the open `MemOS`, and then whoever is `acting` counts.
Unset refuses: there is no default user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memos_core.errors import DeniedError
from memos_core.session import Session
from memos_core.system import MemOS

SessionSource = Session | MemOS | Callable[[Any], Session]


def resolve_session(source: SessionSource | None, context: Any = None) -> Session:
    """Return who acts in this request.

    Args:
        source: A session, an open vault in which somebody is `acting`, or a callable.
        context: What the framework passes along with the request; given to the callable.

    Raises:
        DeniedError: Nobody is named.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     source = lambda context: memos.session(context["user"])
        ...     resolve_session(source, {"user": "user:alice"}).principal
        'user:alice'
    """
    if isinstance(source, MemOS):
        return source.current()
    session = source(context) if callable(source) else source
    if not isinstance(session, Session):
        raise DeniedError(
            "nobody is named for this request: give the adapter a Session, or a callable that "
            "returns one for each request"
        )
    return session
