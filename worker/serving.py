"""The student as it is served: what predicts for jobs is what predicts for people."""

from __future__ import annotations

from predictor import BundleError, Predictor, load
from winnow.attempt_files import local_folder
from winnow.db.tables import Student
from winnow.errors import Unavailable
from winnow.registry import serving_path
from worker.base import Runtime


def serving_predictor(runtime: Runtime, student: Student) -> Predictor:
    """The predictor of ``student``; raises :class:`~winnow.errors.Unavailable` where its files are gone or damaged."""
    try:
        with local_folder(runtime.storage, serving_path(student)) as folder:
            return load(folder)
    except (BundleError, FileNotFoundError) as error:
        raise Unavailable(
            f"The files of student {student.version} are missing or damaged ({error}). "
            "Start a round, which trains a new one, or ask for another version."
        ) from error
