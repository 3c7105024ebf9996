"""The encoder of a project: fitted once, stored, and kept loaded between jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from models.encoders import Encoder, load_encoder_folder, make_encoder, resolve_auto, save_encoder
from models.errors import ModelError
from models.hub import HubModel
from winnow import attempt_files, features, pool
from winnow.db import tables
from winnow.db.session import lock_project
from winnow.db.tables import Project
from winnow.hub_encoders import PREFIX
from winnow.jobs import JobContext
from winnow.project_settings import TRANSFORMERS
from winnow.scratch import scratch_folder
from winnow.settings import Settings
from worker.base import Runtime
from worker.class_names import name_phrases, name_words

log = structlog.get_logger(__name__)

FIT_SAMPLE = 10_000
#: Where an encoder's row keeps why ``auto`` took it.
CHOICE = "choice"
#: An encoder that learned from fewer items than this learns again once the pool is four times as large.
FIT_ENOUGH = 2_000


def project_encoder(runtime: Runtime, context: JobContext, project: Project) -> Encoder:
    """The project's encoder, ready to encode; made, fitted on a sample of the pool and stored if need be.

    Raises:
        LostJob: this attempt was overtaken.
        ModelError: the encoder that the settings name cannot be had, or not one item can be read.
    """
    with runtime.database.read() as session:
        stored = features.encoder_of(session, project.id)
    if stored is not None and _fits(stored, project):
        return stored_encoder(runtime, stored)
    replaces = None if stored is None else stored.digest
    choice = None if stored is None else stored.details.get(CHOICE)
    fresh, fitted_on = fitted_encoder(runtime, project, _wanted(project, choice))
    row = stored_files(runtime, context, project.id, fresh, fitted_on, choice)
    with runtime.database.write() as session:
        lock_project(session, project.id)
        context.fence(session)
        now = features.encoder_of(session, project.id)
        another_was_first = now is not None and now.digest != replaces
        stored = now if now is not None and another_was_first else features.set_encoder(session, row)
    if stored.digest != fresh.digest:
        return stored_encoder(runtime, stored)
    runtime.kept["encoder"] = fresh
    return fresh


def encoder_that_is_done(runtime: Runtime, project: Project) -> tables.Encoder | None:
    """The stored encoder of a project of which every item is encoded: there is no need to load it."""
    with runtime.database.read() as session:
        stored = features.encoder_of(session, project.id)
        done = features.covered(session, project.id) >= project.next_number
    return stored if stored is not None and done and _fits(stored, project) else None


def _fits(stored: tables.Encoder, project: Project) -> bool:
    """Whether it is the one that the settings name, and has not been outgrown by its pool."""
    fitted_on = stored.details.get("fitted_on")
    outgrown = fitted_on is not None and fitted_on < FIT_ENOUGH and project.next_number >= 4 * fitted_on
    wanted = _wanted(project, stored.details.get(CHOICE))
    # One that is named needs not be there any more: what is encoded stays so when the operator's registry changes.
    return (stored.name == (resolve_auto(wanted, project.task) if wanted == "auto" else wanted)) and not outgrown


def _wanted(project: Project, choice: Mapping[str, Any] | None) -> str:
    """What the settings name; for ``auto`` what was chosen, once something was (`worker.encoder_choice`).

    Students that are cut from an encoder's layers cannot be cut from one that has none, whatever was chosen before.
    """
    asked = str(project.settings["encoder"])
    if choice is None or asked != "auto" or project.settings["student"] in TRANSFORMERS:
        return asked
    return str(choice["encoder"])


def fitted_encoder(runtime: Runtime, project: Project, name: str) -> tuple[Encoder, int | None]:
    """A new encoder for a project, and how many of its items it learned from; None where it learns from none."""
    cache, hub = encoder_cache(runtime.settings), hub_models(runtime.settings)
    encoder = make_encoder(name, project.task, cache=cache, hub=hub)
    learns = encoder.needs_fit
    if not learns and encoder.dim:
        return encoder, None
    rng = np.random.default_rng([int(project.order_key[:16], 16), project.next_number])
    count = min(FIT_SAMPLE if learns else 1, project.next_number)
    numbers = np.sort(rng.choice(project.next_number, count, replace=False))
    with runtime.database.read() as session:
        sample = pool.raw_items(session, project.id, [int(number) for number in numbers])
    encoder.fit(sample, rng)
    return encoder, count if learns else None


def stored_files(
    runtime: Runtime,
    context: JobContext,
    project_id: int,
    encoder: Encoder,
    fitted_on: int | None,
    choice: Mapping[str, Any] | None,
) -> tables.Encoder:
    """Put an encoder's files into the storage; gives the row that makes it the project's, not yet written."""
    path = attempt_files.folder(project_id, "encoders", context.job_id, context.attempt)
    with scratch_folder(runtime.settings) as folder:
        save_encoder(encoder, folder)
        attempt_files.put_folder(runtime.storage, folder, path)
    details = {**encoder.details(), **({} if fitted_on is None else {"fitted_on": fitted_on})}
    if choice is not None:
        details[CHOICE] = dict(choice)
    return tables.Encoder(
        project_id=project_id,
        name=encoder.name,
        version=encoder.version,
        digest=encoder.digest,
        dim=encoder.dim,
        dtype=encoder.dtype,
        path=path,
        details=details,
    )


def stored_encoder(runtime: Runtime, stored: tables.Encoder) -> Encoder:
    """A stored encoder, loaded; the last one is kept between jobs.

    Raises:
        ModelError: It cannot be had any more.
    """
    kept: Encoder | None = runtime.kept.get("encoder")
    if kept is not None and kept.digest == stored.digest:
        return kept
    with attempt_files.local_folder(runtime.storage, stored.path) as folder:
        runtime.kept["encoder"] = loaded = load_encoder_folder(
            folder, encoder_cache(runtime.settings), hub=hub_models(runtime.settings)
        )
    return loaded


def hub_models(settings: Settings) -> dict[str, HubModel]:
    """The encoders that the operator registered, by ``hf:NAME``."""
    return {
        f"{PREFIX}{name}": HubModel(
            source=entry.source,
            pooling=entry.pooling,
            max_tokens=entry.max_tokens,
            prefix=entry.prefix,
            revision=entry.revision,
            download=settings.hf_download,
        )
        for name, entry in settings.hf_encoders.items()
    }


def encoder_cache(settings: Settings) -> Path:
    """Where encoders keep what is derived once for each machine."""
    return settings.cache_folder / "encoders"


def class_vectors(runtime: Runtime, project: Project, encoder: Encoder | tables.Encoder) -> NDArray[np.float32] | None:
    """The names of the project's classes, (n_classes, d); None where its items are no texts.

    They are encoded once for each encoder and wording. Where the encoder cannot be had any more there are none.
    """
    if project.task != "text":
        return None
    words = [name_words(entry["name"], entry.get("description") or "") for entry in project.labels]
    return _encoded(runtime, encoder, "class_vectors", words)


def class_phrases(runtime: Runtime, project: Project, encoder: Encoder | tables.Encoder) -> NDArray[np.float32] | None:
    """Several phrasings of each of those names, (n_classes, phrasings, d); None where `class_vectors` gives None."""
    if project.task != "text":
        return None
    phrases = [name_phrases(entry["name"], entry.get("description") or "") for entry in project.labels]
    encoded = _encoded(runtime, encoder, "class_phrases", [phrase for some in phrases for phrase in some])
    return None if encoded is None else encoded.reshape(len(phrases), -1, encoded.shape[1])


def _encoded(
    runtime: Runtime, encoder: Encoder | tables.Encoder, kind: str, words: list[str]
) -> NDArray[np.float32] | None:
    """These texts by the project's encoder, kept between jobs; None where it cannot be had any more."""
    key = hashlib.sha256("\0".join([encoder.digest, *words]).encode()).hexdigest()
    kept: dict[str, NDArray[np.float32]] = runtime.kept.get(kind, {})
    if key not in kept:
        try:
            loaded = stored_encoder(runtime, encoder) if isinstance(encoder, tables.Encoder) else encoder
            kept = {key: loaded.encode(words).features}
        except ModelError as error:
            log.warning("round.no_class_names", reason=str(error))
            return None
        runtime.kept[kind] = kept
    return kept[key]
