"""Which errors of a database say "not now": it went away, is starting, or has too much to do. The rest are bugs.

The caller's statement was right and may be sent again. Whether a commit that was cut off holds, nobody knows: whoever
repeats the transaction must be able to tell (by a request id, or an attempt number).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

Outage = Literal["away", "busy"]

#: SQLSTATEs: connection exceptions; shutdown by the administrator, after a crash, while starting; idle for too long.
_AWAY = ("08", "57P", "25P03")
#: Serialization failure, deadlock; a lock or a statement that took too long; no room, memory or connection; the disk.
_BUSY = ("40001", "40P01", "55P03", "57014", "53", "58")
#: SQLite's primary result codes: busy, locked, no memory, disk error, disk full, cannot open, protocol of the lock.
_BUSY_SQLITE = frozenset({5, 6, 7, 10, 13, 14, 15})


def outage_of(error: BaseException | None) -> Outage | None:
    """Whether ``error``, or what led to it, is an outage: ``away`` when the connection was lost or refused.

    >>> outage_of(ValueError("a bug")) is None
    True
    """
    seen = 0
    while error is not None and seen < 10:
        found = _outage_of(error)
        if found is not None:
            return found
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


@contextmanager
def outages_ignored() -> Iterator[None]:
    """For what may as well be left undone now: an outage ends the block and is forgotten."""
    try:
        yield
    except Exception as error:
        if outage_of(error) is None:
            raise


def _outage_of(error: BaseException) -> Outage | None:
    if isinstance(error, PoolTimeout):
        return "busy"
    if not isinstance(error, DBAPIError):
        return None
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return "busy" if code & 0xFF in _BUSY_SQLITE else None
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return "away" if state.startswith(_AWAY) else "busy" if state.startswith(_BUSY) else None
    # Without a code it comes from the client's library: the connection is lost, or there was none.
    lost = error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
    return "away" if lost and not type(error.orig).__module__.startswith("sqlite3") else None
