"""The errors of the client: what the service said, or that it said nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.answers import Job


class ClientError(Exception):
    """Anything that kept a call from giving its answer."""


class ProblemError(ClientError):
    """The service refused: an RFC 9457 problem.

    Attributes:
        status: the HTTP status.
        title: the kind of problem in a few words.
        detail: what happened and what to do, in a sentence; may be empty.
        errors: the fields at fault, each ``{"loc": [...], "msg": "..."}``.
        type: the problem's type URI.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        type: str = "about:blank",
        retry_after: float | None = None,
    ):
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(dict(error) for error in errors)
        self.type = type
        self.retry_after = retry_after

    @property
    def sentence(self) -> str:
        """The whole problem for a person: the detail, else the title, and the fields at fault that it does not name."""
        text = self.detail or self.title
        extra = [
            f"{'.'.join(str(part) for part in error.get('loc', ()) if part != 'body')}: {error.get('msg', '')}"
            for error in self.errors
            if str(error.get("msg", "")) not in text
        ]
        return " ".join([text, *extra])


class Unreachable(ClientError):
    """No answer: the service is not running at this address, or the line broke."""

    def __init__(self, url: str, reason: str):
        super().__init__(f"No answer from {url} ({reason}). Is the server running there?")
        self.url = url
        self.reason = reason


class JobFailed(ClientError):
    """A job ended without success; ``job`` has its state and its problem."""

    def __init__(self, job: Job):
        problem = job.error or {}
        reason = problem.get("detail") or problem.get("title") or job.message or job.state
        super().__init__(f"The {job.kind} job {job.id} {job.state}: {reason}")
        self.job = job


class JobTimeout(ClientError):
    """A job did not end in the time given; ``job`` is how it stood last. It goes on at the server."""

    def __init__(self, job: Job, seconds: float):
        super().__init__(f"The {job.kind} job {job.id} is still {job.state} after {seconds:.0f} s.")
        self.job = job
