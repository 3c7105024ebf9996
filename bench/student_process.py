"""A bundle in a process of its own: what it takes to start, to answer one text, and in memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_STARTS = 5
_INSIDE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import predict
texts = json.load(sys.stdin)
found = {}
for threads in (1, 2):
    predictor = predict.load(sys.argv[1], threads=threads)
    predictor.predict_proba(texts)
    best = 1e9
    for _ in range(3):
        began = time.perf_counter()
        predictor.predict_proba(texts)
        best = min(best, time.perf_counter() - began)
    found[f"texts_per_s_{threads}"] = len(texts) / best
predictor = predict.load(sys.argv[1], threads=1)
alone = []
for text in texts[:500] * 3:
    began = time.perf_counter()
    predictor.predict([text])
    alone.append(1000 * (time.perf_counter() - began))
alone.sort()
found["p50_ms"], found["p95_ms"] = alone[len(alone) // 2], alone[int(len(alone) * 0.95)]
with open("/proc/self/status") as status:
    found["peak_mb"] = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps(found))
"""


def served(bundle: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Texts a second of wall time on one and two threads, p50 and p95 of one text, peak memory, and the cold start.

    The cold start is ``python predict.py "a text"`` from nothing to the answer, the median of some.
    """
    run = [sys.executable, "-I", "-c", _INSIDE, str(bundle)]
    done = subprocess.run(run, input=json.dumps(list(texts)), capture_output=True, text=True, check=True)
    starts = []
    for _ in range(_STARTS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", str(bundle / "predict.py"), texts[0]], capture_output=True, check=True)
        starts.append(time.perf_counter() - began)
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "cold_start_s": statistics.median(starts)}
