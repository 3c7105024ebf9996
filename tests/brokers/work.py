"""A worker whose jobs do what a test tells them to. Run as a program, it is a real worker in every other respect.

A job with a ``gate`` in its payload goes on until that file is there; it makes way, pauses and stops as real work does.
It looks whether to do so every 10 ms, or as often as ``look`` says, in seconds. Once it has found the gate closed,
there is a file of that name with ``.seen`` behind it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from winnow.jobs import JobContext
from winnow.settings import Settings
from worker import app
from worker.base import Runtime
from worker.main import run_worker

#: How soon a waiting job sees its gate open.
LOOK_SECONDS = 0.01


def run(runtime: Runtime, context: JobContext) -> None:
    """Wait at the gate, if there is one, and end with who did it."""
    gate = context.payload.get("gate")
    while gate and not Path(gate).exists():
        context.pause_point()
        Path(f"{gate}.seen").touch()
        time.sleep(context.payload.get("look", LOOK_SECONDS))
    with runtime.database.write() as session:
        context.finish(session, {"worker": runtime.worker.rpartition(":")[0], "process": os.getpid()})


if __name__ == "__main__":
    for kind in app._BODIES:
        app._BODIES[kind] = "tests.brokers.work"
    app.warm_up = lambda: None  # type: ignore[assignment,return-value]
    sys.exit(run_worker(Settings(), int(sys.argv[1])))
