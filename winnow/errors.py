"""The errors of the service: each carries its values, says what to do next, and knows its HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One field at fault: where it is, outermost first, and what is wrong with it."""

    loc: tuple[str | int, ...]
    msg: str


class WinnowError(Exception):
    """Anything that went wrong for a reason that the caller can act on.

    Subclasses fix ``status`` (HTTP), ``slug`` (the last part of the problem's ``type``) and ``title``.
    ``detail`` says what happened and what to do.
    """

    status = 500
    slug = "error"
    title = "Something went wrong"

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}

    @property
    def for_operator(self) -> str:
        """What to say to whoever runs the service: all that is known, where ``detail`` keeps some of it back."""
        return self.detail


class Unauthenticated(WinnowError):
    """No identity, or one that is not known any more."""

    status = 401
    slug = "unauthenticated"
    title = "Sign in first"

    def __init__(
        self, detail: str = "Send 'Authorization: Bearer TOKEN' with an API token or one from /v1/auth/token."
    ):
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(WinnowError):
    """Known, but without the right."""

    status = 403
    slug = "forbidden"
    title = "Not allowed"


class NotFound(WinnowError):
    """Not there, or not for the caller to know of."""

    status = 404
    slug = "not-found"
    title = "Not found"


class Conflict(WinnowError):
    """Valid in itself, but not in the state that things are in."""

    status = 409
    slug = "conflict"
    title = "Conflict"


class TooLarge(WinnowError):
    """More bytes, rows or pixels than the operator's limit."""

    status = 413
    slug = "too-large"
    title = "Too large"


class Invalid(WinnowError):
    """Input that cannot be used as it is; ``errors`` names the fields."""

    status = 422
    slug = "invalid"
    title = "Invalid input"

    @classmethod
    def field(cls, name: str, msg: str) -> Invalid:
        """An error about one field of the body."""
        return cls(f"{name}: {msg}", errors=[FieldError(("body", name), msg)])


class TooManyRequests(WinnowError):
    """Slowed down; ``retry_after`` is in seconds."""

    status = 429
    slug = "too-many-requests"
    title = "Too many attempts"

    def __init__(self, detail: str, *, retry_after: int):
        super().__init__(detail, headers={"Retry-After": str(retry_after)})
        self.retry_after = retry_after


class NotYet(WinnowError):
    """A call of the contract that this version does not answer yet."""

    status = 501
    slug = "not-implemented"
    title = "Not there yet"


class Unavailable(WinnowError):
    """A part that is needed does not answer."""

    status = 503
    slug = "unavailable"
    title = "Not available"


class StorageUnavailable(Unavailable):
    """The storage of files does not answer. ``reason`` is for the operator; ``lasting``: waiting will not help."""

    slug = "storage-unavailable"
    title = "The storage does not answer"

    def __init__(self, reason: str, *, lasting: bool = False):
        super().__init__(
            "The storage of files cannot be used right now. Try again in a minute; if that does not help, "
            "have the operator run 'winnow doctor'."
        )
        self.reason = reason
        self.lasting = lasting

    @property
    def for_operator(self) -> str:
        """The reason."""
        return self.reason


class Misconfigured(WinnowError):
    """A setting with which the service cannot start."""

    slug = "misconfigured"
    title = "A setting cannot be used"


class LostJob(WinnowError):
    """This attempt no longer owns its job: another took over, or it was canceled. Publish nothing and stop."""

    status = 409
    slug = "lost-job"
    title = "Job taken over"
