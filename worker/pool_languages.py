"""A look at which languages a pool's texts are in, beside those that its encoder knows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import structlog

from models.encoders import Encoder
from winnow import features, pool
from winnow.db.session import lock_project
from winnow.db.tables import Project
from winnow.jobs import JobContext
from winnow.languages import SAMPLE, known_languages
from worker.base import Runtime

log = structlog.get_logger(__name__)

LANGUAGES = "languages"
"""Where the encoder's row keeps what was found."""
_REGROWTH = 4


def look_at_languages(runtime: Runtime, context: JobContext, project: Project, encoder: Encoder) -> None:
    """Note, with the project's encoder, the languages of a random sample of its texts; again once it has grown much.

    Nobody looks where the encoder reads any language: there is nothing to be warned of.

    Raises:
        LostJob: this attempt was overtaken.
    """
    known = known_languages(encoder.name, runtime.settings.hf_encoders)
    if project.task != "text" or known is None or not _is_due(runtime, project):
        return
    from models.languages import count_languages

    began = time.monotonic()
    rng = np.random.default_rng([int(project.order_key[:16], 16), project.next_number])
    numbers = np.sort(rng.choice(project.next_number, min(SAMPLE, project.next_number), replace=False))
    with runtime.database.read() as session:
        items = pool.raw_items(session, project.id, numbers.tolist())
    texts = [item for item in items if isinstance(item, str)]
    found, unclear = count_languages(texts)
    seen: dict[str, Any] = {
        "sample": len(texts),
        "items": project.next_number,
        "found": found,
        "unclear": unclear,
        "known": known,
    }
    with runtime.database.write() as session:
        lock_project(session, project.id)
        context.fence(session)
        stored = features.encoder_of(session, project.id)
        if stored is not None and stored.digest == encoder.digest:
            stored.details = {**stored.details, LANGUAGES: seen}
    log.info("encode.languages", found=found, unclear=unclear, seconds=round(time.monotonic() - began, 2))


def _is_due(runtime: Runtime, project: Project) -> bool:
    with runtime.database.read() as session:
        stored = features.encoder_of(session, project.id)
        seen = None if stored is None else stored.details.get(LANGUAGES)
    return seen is None or project.next_number >= _REGROWTH * max(1, seen["items"])
