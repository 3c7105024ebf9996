"""One clock for all: the database's. Machines that share a database need not agree on the time of day."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.base import utcnow


def database_time(session: Session) -> datetime:
    """The current time (not that of the transaction's start), by the clock of the machine of the database.

    Leases of jobs and signs of life of workers are written and judged by it. SQLite's clock is this machine's.
    """
    if session.get_bind().dialect.name != "postgresql":
        return utcnow()
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)
