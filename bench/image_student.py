"""The student of images beside its teacher: digits, 300 labels, the head on features of patches.

``python -m bench.image_student --kept FEATURES [--labels 300] [--seeds 1] [--json]``; ``WINNOW_BENCH_DATA`` names a
folder with mnist10k, whose features are kept in FEATURES. The student is compressed to INT8 and measured as it would be
handed out, on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.real_features import MNIST_POOL, RealSet, digit_files, keep_features
from bench.report import as_text

_CALIBRATION = 100


def measure(kept: Path, labels: int = 300, seeds: int = 1) -> dict[str, Any]:
    """A row for each seed; see `one_seed`.

    Raises:
        FileNotFoundError: ``WINNOW_BENCH_DATA`` names no folder with mnist10k.
    """
    folder = os.environ.get("WINNOW_BENCH_DATA")
    if not folder or not (Path(folder) / "mnist10k-images.gz").exists():
        raise FileNotFoundError("WINNOW_BENCH_DATA names no folder with mnist10k")
    files, _ = digit_files(Path(folder))
    data = keep_features("mnist10k", kept)
    rows = [one_seed(data, files[:MNIST_POOL], files[MNIST_POOL:], labels, seed) for seed in range(seeds)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("teacher", "student", "retention", "kb")}
    return {"set": "mnist10k", "labels": labels, **{f"mean_{key}": value for key, value in mean.items()}, "seeds": rows}


def one_seed(data: RealSet, pool: Sequence[bytes], test: Sequence[bytes], labels: int, seed: int) -> dict[str, Any]:
    """Teach, distil, compress and measure once.

    Args:
        data: Features and classes of pool and test images.
        pool: Encoded images of the pool.
        test: Those of the test set.
        labels: How many of the pool's are labelled, drawn at random.
        seed: Draws them, and seeds teacher and student.

    Returns:
        Accuracies of the teacher, of the student in INT8 and of a student of the labels alone; the student's share of
        the teacher's, its size, images a CPU second with decoding and of the graph alone, CPU seconds of its training.
    """
    from models.compress import compress
    from models.distill import Distilled, distil
    from models.evaluate import expected_calibration_error
    from models.teachers import LogisticTeacher
    from predictor.runtime import Predictor

    rng = np.random.default_rng(seed)
    labeled = np.sort(rng.permutation(len(pool))[:labels])
    y, names = data.y[labeled], tuple(str(digit) for digit in range(data.n_classes))
    explored = np.ones(len(y), bool)
    teacher = LogisticTeacher.fit(data.X[labeled], y, data.n_classes, explored, rng=rng, pool=data.X)
    soft, taught = teacher.predict_proba(data.X), teacher.predict_proba(data.test_features)
    # As a round does it: some of the labels say how sure the student may be, and teach it nothing.
    apart = np.isin(labeled, rng.permutation(labeled)[: min(_CALIBRATION, labels // 2)])
    learned, told = labeled[~apart], labeled[apart]
    rows = np.setdiff1d(np.arange(len(pool)), told)

    def train(transfer: NDArray[np.int64], rows: NDArray[np.int64], **options: Any) -> Distilled:
        images = [[pool[row] for row in part] for part in (transfer, rows)]
        own = np.random.default_rng(seed)
        return distil(
            "convnet", images[0], soft[transfer], images[1], data.y[rows], class_names=names, rng=own, **options
        )

    began = time.process_time()
    made = train(rows, learned, calibration=([pool[row] for row in told], data.y[told]))
    cpu = time.process_time() - began
    alone = train(labeled[:0], labeled).student.predict_proba(test)
    graph = compress(made.student, calibration=pool[:300], items=pool[:2_000])
    predictor = Predictor(graph.model, names, "image", made.student.network.preprocess())
    predictor.predict_proba(test[:256])
    began = time.process_time()
    P = predictor.predict_proba(test)
    whole = time.process_time() - began
    right, teaches = float((P.argmax(1) == data.test_y).mean()), float((taught.argmax(1) == data.test_y).mean())
    return {
        "seed": seed,
        "teacher": teaches,
        "student": right,
        "labels_only": float((alone.argmax(1) == data.test_y).mean()),
        "retention": right / teaches,
        "parameters": int(sum(p.numel() for p in made.student.network.parameters())),
        "kb": len(graph.model) / 1e3,
        "agreement_int8": graph.parity.agreement,
        "ece": expected_calibration_error(data.test_y, P),
        "images_per_cpu_s": len(test) / whole,
        "graph_images_per_cpu_s": _graph_speed(graph.model, made.student.network, test),
        "train_cpu_s": cpu,
    }


def _graph_speed(model: bytes, network: Any, test: Sequence[bytes]) -> float:
    """Images a CPU second of the graph alone, decoded before; the best of three runs on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    X = network.prepare(test).X
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for start in range(0, len(X), 256):
            session.run(None, {"input": X[start : start + 256]})
        best = min(best, time.process_time() - began)
    return len(X) / best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.image_student", description=__doc__.split("\n")[0])
    parser.add_argument("--kept", type=Path, required=True, help="folder of features (bench.real_features)")
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = measure(given.kept, given.labels, given.seeds)
    print(json.dumps(result) if given.json else as_text(result))


if __name__ == "__main__":
    from sampler.threads import single_thread

    with single_thread():
        main()
