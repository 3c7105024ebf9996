"""A process that times rankings of one pool, and is killed where one takes too long."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.memory import cost_of

OVER_LIMIT = "over limit"
OVER_MEMORY = "over memory"
_PREPARING_SECONDS = 600.0
_GRACE_SECONDS = 1.0
_WARM_UP_ROWS = 300
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Terms:
    """On what terms every ranking is timed.

    Attributes:
        folder: Where the pool lies (`bench.rank_pool`).
        batch: How many rows are asked for.
        repeat: Runs for the clock.
        threads: BLAS threads, and threads of our predictions.
        limit: Seconds for each ranking.
        memory_gb: What a process may hold besides mapped files: a peer that makes an n × n matrix must not take the
            machine with it.
    """

    folder: Path
    batch: int
    repeat: int
    threads: int
    limit: float
    memory_gb: float


class RankProcess:
    """Answers ``what a ranking costs``; started when first asked, and again after it was killed."""

    def __init__(self, whose: str, terms: Terms):
        self._whose, self._terms = whose, terms
        self._process: Any = None
        self._connection: Any = None

    def __enter__(self) -> RankProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def cost(self, name: str) -> dict[str, Any]:
        """``wall_ms``, ``cpu_ms``, ``extra_mb`` and for ours the same ``stored``; or ``failed``, why there are none."""
        if self._process is None:
            self._start()
        try:
            self._connection.send(name)
            prepared = self._answer(_PREPARING_SECONDS)
            if prepared.get("failed"):
                return prepared
            return self._answer(self._terms.limit * (2 if self._whose == "ours" else 1) + _GRACE_SECONDS)
        except (EOFError, ConnectionError):
            self._kill()
            return {"failed": "died"}

    def _start(self) -> None:
        for name in THREADS:  # read when the libraries are loaded, so before the process begins
            os.environ[name] = str(self._terms.threads)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._whose, self._terms), daemon=True)
        self._process.start()
        theirs.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        if self._connection.poll(seconds):
            answer: dict[str, Any] = self._connection.recv()
            return answer
        self._kill()
        return {"failed": OVER_LIMIT}

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def _serve(connection: Connection, whose: str, terms: Terms) -> None:
    most = int(terms.memory_gb * (1 << 30))
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    timer: Callable[[str], dict[str, Any]] = _Ours(terms, connection) if whose == "ours" else _Peers(terms, connection)
    while True:
        try:
            name = connection.recv()
        except EOFError:
            return
        try:
            connection.send(timer(name))
        except MemoryError:
            connection.send({"failed": OVER_MEMORY})
        except Exception as error:  # whatever a peer trips over: it is shown in its place, and the others go on
            connection.send({"failed": f"{type(error).__name__}: {error}"[:200]})


class _Ours:
    def __init__(self, terms: Terms, connection: Connection):
        from bench.rank_ours import Fitted
        from bench.rank_pool import open_pool, touch

        self._terms, self._connection = terms, connection
        pool = open_pool(terms.folder)
        touch(pool.X)
        self._fitted, self._small = Fitted.on(pool), Fitted.on(pool.small(_WARM_UP_ROWS))

    def __call__(self, name: str) -> dict[str, Any]:
        terms = self._terms
        small = self._small.runs(name, min(terms.batch, _WARM_UP_ROWS // 3), terms.threads)
        small.whole()
        runs = self._fitted.runs(name, terms.batch, terms.threads)
        self._connection.send({})
        cost: dict[str, Any] = asdict(cost_of(runs.whole, repeat=terms.repeat, limit=terms.limit))
        if runs.stored is not None:
            cost["stored"] = asdict(cost_of(runs.stored, repeat=terms.repeat, limit=terms.limit))
        return cost


class _Peers:
    def __init__(self, terms: Terms, connection: Connection):
        from bench.rank_peers import PeerRuns
        from bench.rank_pool import open_pool

        self._terms, self._connection = terms, connection
        pool = open_pool(terms.folder)
        self._runs = PeerRuns(pool, terms.batch)
        self._small = PeerRuns(pool.small(_WARM_UP_ROWS), min(terms.batch, _WARM_UP_ROWS // 3))

    def __call__(self, name: str) -> dict[str, Any]:
        from bench.rank_peers import FITS_FOR_EACH_CANDIDATE

        if name not in FITS_FOR_EACH_CANDIDATE:
            self._small.run(name)()
        run = self._runs.run(name)
        self._connection.send({})
        return asdict(cost_of(run, repeat=self._terms.repeat, limit=self._terms.limit))
