"""What a command cannot do, said in one line."""

from __future__ import annotations

import sys
from types import ModuleType

#: Where the errors live that carry one line for the user. Looked up only once their module is loaded.
_EXPECTED = (
    ("winnow.errors", "WinnowError"),
    ("client.errors", "ClientError"),
    ("models.errors", "ModelError"),
    ("sampler.errors", "SamplerError"),
)


class CommandError(Exception):
    """A reason to end with exit code 1; the message is one line that says what to do."""


def line_of(error: BaseException) -> str:
    """The line for ``error``."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, _expected()):
        return str(getattr(error, "for_operator", None) or getattr(error, "detail", None) or error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    return f"{type(error).__name__}: {error} (this is a bug: WINNOW_DEBUG=1 shows where)"


def _expected() -> tuple[type[Exception], ...]:
    loaded: list[tuple[ModuleType | None, str]] = [(sys.modules.get(module), name) for module, name in _EXPECTED]
    return (CommandError, *(getattr(module, name) for module, name in loaded if module is not None))
