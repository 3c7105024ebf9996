"""Fine-tuned weights among a student's files: written by the round that made them, found again by later ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.finetune.base import Base, find_base
from winnow import attempt_files, registry
from winnow.db.tables import Project, Student
from winnow.errors import NotFound
from worker.base import Runtime
from worker.finetuned import METHODS, Finetuned
from worker.project_encoder import encoder_cache, hub_models
from worker.round_data import Arrays, PreviousRound

log = structlog.get_logger(__name__)

FOLDER, WEIGHTS = "finetuned", "finetuned.safetensors"
CARRIED = "finetuned_in"
"""In the carry: the version of the student whose files have the weights; 0 for the student that the carry is of."""


def base_of(runtime: Runtime, project: Project) -> Base | None:
    """The base weights of a project whose teacher is a fine-tuned encoder; None for all others.

    Raises:
        MissingExtra: There are none on this machine.
        UnusableModel: They must not be loaded.
    """
    if project.settings["teacher"] not in METHODS or project.task != "text":
        return None
    settings = runtime.settings
    return find_base(project.settings["encoder"], hub_models(settings), encoder_cache(settings))


def put_weights(folder: Path, finetuned: Finetuned | None, previous: PreviousRound | None) -> dict[str, Any]:
    """Write what this round made into a folder of the student's files; gives what the carry says of it."""
    if finetuned is None or finetuned.model is None:
        return {}
    if not finetuned.fresh:
        return {CARRIED: previous.finetuned_in if previous else None}
    (folder / FOLDER).mkdir(parents=True)
    arrays = {name: np.ascontiguousarray(array) for name, array in finetuned.model.arrays().items()}
    save_file(arrays, folder / FOLDER / WEIGHTS)
    return {CARRIED: 0}


def load_weights(
    runtime: Runtime, project: Project, last: Student, carry: Mapping[str, Any]
) -> tuple[Arrays | None, int | None]:
    """What the last round kept, and the version of the student that it lies with.

    Weights that are gone or damaged are made again: they only save time.
    """
    if project.settings["teacher"] not in METHODS or carry.get(CARRIED) is None:
        return None, None
    version = int(carry[CARRIED]) or last.version
    try:
        with runtime.database.read() as session:
            path = registry.get_student(session, project.id, version).path
        with attempt_files.local_folder(runtime.storage, f"{path}/{FOLDER}") as folder:
            return load_file(folder / WEIGHTS), version
    except (NotFound, OSError, SafetensorError) as error:
        log.warning("round.no_finetuned_weights", version=version, error=str(error).partition("\n")[0])
        return None, None
