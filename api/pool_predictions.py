"""Predictions of the whole pool as a stream: made page by page while they are sent, and never stored.

A student reads some ten thousand texts a second, so a file of predictions would be stale (with each label, each round
and each import) before it paid: what is sent is what the student says now. A stream that broke off goes on behind any
item.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.pool_predictions import PoolRow, pool_rows

if TYPE_CHECKING:
    from predictor import Predictor

Row = dict[str, Any]


def prediction_pages(
    database: Database, project: Project, predictor: Predictor, version: int, after: int = -1
) -> Iterator[list[Row]]:
    """Pages of ``{item, key, label, confidence, source, version}``, in the order in which the items came.

    What people labelled has the source ``human``, and neither confidence nor version; all else is the student's.
    """
    for page in pool_rows(database, project, after):
        yield _predicted(page, predictor, version)


def _predicted(page: list[PoolRow], predictor: Predictor, version: int) -> list[Row]:
    contents = [row.content for row in page if row.content is not None]
    probabilities = predictor.predict_proba(contents)
    best = iter(zip(probabilities.argmax(1).tolist(), probabilities.max(1).tolist(), strict=True))
    rows = []
    for row in page:
        out: Row = {"item": str(row.item_id), "key": row.key, "label": row.label, "confidence": None}
        if row.content is None:
            rows.append({**out, "source": "human", "version": None})
            continue
        index, confidence = next(best)
        said = {"label": predictor.labels[index], "confidence": round(confidence, 6)}
        rows.append({**out, **said, "source": "model", "version": version})
    return rows
