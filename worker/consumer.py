"""How Celery's worker holds on to its broker."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery.worker.consumer import Consumer

log = structlog.get_logger(__name__)

#: Between two attempts to reach the broker. Celery's own pauses grow to half a minute, and end after 100 attempts.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
SAY_EVERY_SECONDS = 60.0


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Tries to reach the broker every two seconds for as long as it takes, and says so once a minute.

    Work goes on meanwhile, see :class:`worker.loop.JobLoop`.
    """

    _said_at = float("-inf")

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes. A broker that refuses may change its mind, as one does that is starting."""
        began = time.monotonic()
        while not self._connects(conn):
            time.sleep(LONGEST_PAUSE_SECONDS)
        self.first_connection_attempt = False
        if self._said_at >= began:
            log.warning("broker.reached", after_seconds=round(time.monotonic() - began, 1))
        self._said_at = float("-inf")
        return conn

    def _connects(self, conn: Any) -> bool:
        try:
            conn.ensure_connection(
                self._not_connected,
                max_retries=None,
                interval_start=FIRST_PAUSE_SECONDS,
                interval_step=FIRST_PAUSE_SECONDS,
                interval_max=LONGEST_PAUSE_SECONDS,
                reraise_as_library_errors=False,
            )
        except (*conn.connection_errors, *conn.channel_errors) as error:  # wrong password, no such virtual host
            self._not_connected(error, LONGEST_PAUSE_SECONDS)
            return False
        return True

    def _not_connected(self, error: BaseException, _pause: float) -> None:
        if time.monotonic() - self._said_at >= SAY_EVERY_SECONDS:
            self._said_at = time.monotonic()
            log.warning("broker.away", broker=self.conninfo.as_uri(), error=str(error) or repr(error))
