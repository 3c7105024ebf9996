"""Predictions of the whole pool: rows a second, memory, and what labeling feels of it meanwhile.

    python -m bench.pool_predictions [--items 200000] [--labels 300]

One process, SQLite, a pool of short texts and a hashed student with random weights (its speed does not depend on them).
The stream is read as the API makes it, page by page, once alone and once while somebody labels in another thread of the
same process, which is the worst that labeling can meet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from api.pool_predictions import prediction_pages
from bench.memory import cost_of
from models.export.bundle import write_serving_folder
from models.students.student import Student
from predictor import Predictor, load
from winnow import labels, pool, projects, queue, users
from winnow.db.base import Base, utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Project

CLASSES = ("business", "science", "sports", "world")
_WORDS, _AT_ONCE = 30_000, 10_000


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--labels", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), arguments.items, arguments.labels)))


def measure(folder: Path, items: int, n_labels: int) -> dict[str, Any]:
    """The figures of a pool of ``items``."""
    database = Database(f"sqlite:///{folder / 'winnow.db'}")
    Base.metadata.create_all(database.engine)
    rng = np.random.default_rng(0)
    user, project = _fill(database, items, rng)
    predictor = _student(folder / "student", rng)
    alone = _label(database, project.id, user, n_labels)
    cost = cost_of(lambda: _read(database, project, predictor), repeat=1, limit=0.0)
    stop = threading.Event()
    thread = threading.Thread(target=_again_and_again, args=(lambda: _read(database, project, predictor, stop), stop))
    thread.start()
    meanwhile = _label(database, project.id, user, n_labels)
    stop.set()
    thread.join()
    database.dispose()
    return {
        "items": items,
        "rows_per_second": round(items / cost.wall_ms * 1e3),
        "cpu_us_per_row": round(cost.cpu_ms * 1e3 / items, 1),
        "extra_mb": round(cost.extra_mb, 1),
        "label_ms_alone": alone,
        "label_ms_meanwhile": meanwhile,
    }


def _fill(database: Database, items: int, rng: np.random.Generator) -> tuple[int, Project]:
    with database.write() as session:
        user = users.add_user(session, users.NewUser("owner@example.org", "owner", "!", None))
        identity = users.Identity(user.id, "owner@example.org", "owner", 1, False)
        project = projects.create_project(
            session, identity, name="bench", task="text", labels=list(CLASSES), settings={"holdout": False}
        )
        project.next_number = project.n_items = project.n_open = items
    for start in range(0, items, _AT_ONCE):
        numbers = range(start, min(items, start + _AT_ONCE))
        rows = [_item(project.id, number, rng) for number in numbers]
        with database.write() as session:
            session.connection().execute(insert(Item), rows)
    return user.id, project


def _item(project: int, number: int, rng: np.random.Generator) -> dict[str, Any]:
    text = " ".join(f"w{word}" for word in (_WORDS * rng.random(24) ** 3).astype(int).tolist())
    digest = f"{number:064x}"
    return {
        "project_id": project, "number": number, "digest": digest, "group_digest": digest, "shuffle": number,
        "split": "pool", "text": text, "standing": 0, "is_open": True, "created_at": utcnow(),
    }  # fmt: skip


def _student(folder: Path, rng: np.random.Generator) -> Predictor:
    arrays = {
        "table": rng.normal(size=(16_384, 16)).astype(np.float32),
        "head.weight": rng.normal(size=(len(CLASSES), 16)).astype(np.float32),
        "head.bias": np.zeros(len(CLASSES), np.float32),
        "scale": np.ones(1, np.float32),
    }
    write_serving_folder(Student.from_arrays("hashed", arrays, CLASSES), folder)
    return load(folder)


def _read(database: Database, project: Project, predictor: Predictor, stop: threading.Event | None = None) -> None:
    for _ in prediction_pages(database, project, predictor, 1):
        if stop is not None and stop.is_set():
            return


def _again_and_again(read: Callable[[], None], stop: threading.Event) -> None:
    while not stop.is_set():
        read()


def _label(database: Database, project_id: int, user: int, count: int) -> dict[str, float]:
    """Milliseconds of a claim of one item and the label on it, each in a transaction of its own."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        with database.write() as session:
            batch = queue.claim_batch(session, pool.locked_project(session, project_id), user, 1)
        with database.write() as session:
            entries = [{"item": str(held.item_id), "label": CLASSES[0]} for held in batch.items]
            labels.write_labels(session, pool.locked_project(session, project_id), user, entries)
        took.append(1e3 * (time.perf_counter() - began))
    p50, p95 = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    return {"p50": round(p50, 2), "p95": round(p95, 2)}


if __name__ == "__main__":
    main()
