"""A bundle in a process of its own: what it takes to start, to answer one text, and in memory."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_STARTS = 9
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
rounds = []
for _ in range(9):
    alone = []
    for text in texts[:500]:
        began = time.perf_counter()
        predictor.predict([text])
        alone.append(1000 * (time.perf_counter() - began))
    rounds.append(alone)
calls, best = sorted(sum(rounds, [])), sorted(map(min, zip(*rounds)))
found["p50_ms"], found["p95_ms"] = best[len(best) // 2], best[int(len(best) * 0.95)]
found["all_calls_p50_ms"], found["all_calls_p95_ms"] = calls[len(calls) // 2], calls[int(len(calls) * 0.95)]
with open("/proc/self/status") as status:
    found["peak_mb"] = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps(found))
"""


def served(bundle: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Texts a second of wall time on one and two threads, p50 and p95 of one text, peak memory, and the cold start.

    ``p50_ms`` and ``p95_ms`` are over 500 texts, each at the best of nine calls, which others' work on the machine
    moves little; those of ``all_calls`` tell of that work too. The cold start is ``python predict.py "a text"`` from
    nothing to its end: the median of nine, and the least processor time of them. ``first_…`` hold what it answers
    without a runtime, where it does, against the runtime: the largest difference of a probability, and how many texts
    differ by more than 10⁻⁶, in any probability and in the label.
    """
    run = [sys.executable, "-I", "-c", _INSIDE, str(bundle)]
    done = subprocess.run(run, input=json.dumps(list(texts)), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, **_starts(bundle, texts[0]), **_first(bundle, texts)}


def _first(bundle: Path, texts: Sequence[str]) -> dict[str, float]:
    from predictor import load
    from predictor.first_answer import first_answers

    found = [
        answer for begin in range(0, len(texts), 8) for answer in first_answers(texts[begin : begin + 8], bundle) or []
    ]
    if len(found) < len(texts):
        return {}
    expected = load(bundle).predict(texts)
    pairs = list(zip(found, expected, strict=True))
    apart = [max(abs(p - b["probabilities"][name]) for name, p in a["probabilities"].items()) for a, b in pairs]
    return {
        "first_largest_difference": max(apart),
        "first_differ": sum(difference > 1.5e-6 for difference in apart),  # both are told to six digits
        "first_other_labels": sum(a["label"] != b["label"] for a, b in pairs),
        "first_texts": len(pairs),
    }


def _starts(bundle: Path, text: str) -> dict[str, float]:
    taken, cpu = [], []
    for _ in range(_STARTS):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-I", str(bundle / "predict.py"), text], capture_output=True, check=True)
        taken.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"cold_start_s": statistics.median(taken), "cold_start_cpu_s": min(cpu)}


def main() -> None:
    """Measure a bundle's folder: ``python -m bench.student_process FOLDER --set banking77``."""
    from bench.report import as_text
    from bench.texts import labelled_texts

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("bundle", type=Path, help="a bundle over texts, unpacked")
    options.add_argument("--set", default="agnews", help="whose texts are asked")
    given = options.parse_args()
    print(as_text({"served": served(given.bundle, labelled_texts(2_000, given.set, "test")[0])}))


if __name__ == "__main__":
    main()
