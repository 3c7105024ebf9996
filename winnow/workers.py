"""Worker processes: how they are called, and which of them live."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.orm import Session

from winnow.db.tables import WorkerSeen

_PROC = Path("/proc")


@cache
def node_name() -> str:
    """Names this machine (or container) for as long as its process ids mean anything."""
    parts = [socket.gethostname()]
    try:
        parts.append((_PROC / "sys/kernel/random/boot_id").read_text()[:8])
        parts.append("".join(filter(str.isdigit, str((_PROC / "self/ns/pid").readlink()))))
    except OSError:
        pass
    return "-".join(parts)


def worker_name(pid: int | None = None, child: int | None = None) -> str:
    """The name of a worker process of this machine (default: this one), or of one of its children."""
    name = f"{node_name()}:{pid or os.getpid()}"
    return f"{name}:{child}" if child else name


def is_gone(name: str) -> bool:
    """Whether ``name`` is a process of this machine that is gone, or whose parent is. Others count as alive."""
    node, _, pids = name.partition(":")
    if node != node_name() or not (_PROC / "self/stat").exists():
        return False
    return not all(_lives(pid) for pid in pids.split(":") if pid.isdigit())


def _lives(pid: str) -> bool:
    try:
        stat = (_PROC / pid / "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def see_worker(session: Session, name: str, now: datetime) -> None:
    """Note that a worker lives; those that were not seen for an hour are forgotten."""
    session.merge(WorkerSeen(name=name, seen_at=now))
    session.execute(delete(WorkerSeen).where(WorkerSeen.seen_at < now - timedelta(hours=1)))


def forget_worker(session: Session, name: str) -> None:
    """A worker has stopped."""
    session.execute(delete(WorkerSeen).where(WorkerSeen.name == name))
