"""What work cost: measured CPU, time and memory, and the energy that they stand for at the operator's stated rates."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.tables import LedgerEntry
from winnow.settings import Settings

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """CPU-seconds of all threads and finished children, wall seconds, peak memory in bytes, FLOPs where known."""

    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int
    flops: float | None = None

    def priced(self, settings: Settings) -> dict[str, Any]:
        """The cost with its energy (Wh) and carbon (gCO2e) estimates, ready to be stored."""
        watt_hours = self.cpu_seconds * settings.watts_per_core / 3600
        return {
            "cpu_seconds": round(self.cpu_seconds, 4),
            "wall_seconds": round(self.wall_seconds, 4),
            "peak_memory_bytes": self.peak_memory_bytes,
            "flops": self.flops,
            "watt_hours": watt_hours,
            "grams_co2e": watt_hours / 1000 * settings.grams_co2e_per_kwh,
        }


class CostMeter:
    """Measures this process while it is entered; ``cost()`` may be asked at any time, within and after.

    The peak is the process's own since the start of the measurement where Linux lets it be reset, else since its birth.
    """

    def __enter__(self) -> CostMeter:
        with suppress(OSError):
            _CLEAR.write_text("5")
        self._cpu, self._wall = _cpu_seconds(), time.monotonic()
        self._final: Cost | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._final = self.cost()

    def cost(self, flops: float | None = None) -> Cost:
        """What it has cost so far."""
        if self._final is not None:
            return self._final
        return Cost(_cpu_seconds() - self._cpu, time.monotonic() - self._wall, _peak_bytes(), flops)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _peak_bytes() -> int:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def record_cost(
    session: Session,
    cost: Cost,
    settings: Settings,
    *,
    kind: str,
    project_id: int | None,
    job_id: int | None,
    attempt: int,
) -> LedgerEntry:
    """Write what one attempt of a job cost."""
    entry = LedgerEntry(kind=kind, project_id=project_id, job_id=job_id, attempt=attempt, **cost.priced(settings))
    session.add(entry)
    session.flush()
    return entry


_SUMS = ("cpu_seconds", "wall_seconds", "flops", "watt_hours", "grams_co2e")


def totals(session: Session, project_id: int) -> dict[str, Any]:
    """What a project's work cost so far: sums, the highest peak of memory, and the same for each kind of work.

    ``flops`` counts what is known and is null where nothing is.
    """
    rows = session.execute(
        select(
            LedgerEntry.kind,
            func.count().label("attempts"),
            func.max(LedgerEntry.peak_memory_bytes).label("peak_memory_bytes"),
            *(func.sum(getattr(LedgerEntry, name)).label(name) for name in _SUMS),
        )
        .where(LedgerEntry.project_id == project_id)
        .group_by(LedgerEntry.kind)
    ).mappings()
    by_kind = {row["kind"]: {name: row[name] for name in ("attempts", *_SUMS, "peak_memory_bytes")} for row in rows}
    every = list(by_kind.values())
    known = [row["flops"] for row in every if row["flops"] is not None]
    return {
        **{name: sum(row[name] for row in every) for name in ("attempts", *_SUMS) if name != "flops"},
        "flops": sum(known) if known else None,
        "peak_memory_bytes": max((row["peak_memory_bytes"] for row in every), default=0),
        "by_kind": by_kind,
    }
