"""Bundles of students: where each lies, and what it is called."""

from __future__ import annotations

import re
import unicodedata

from winnow import attempt_files
from winnow.db.tables import Job


def bundle_path(job: Job) -> str:
    """Where the bundle of a succeeded export job lies in the storage."""
    assert job.project_id is not None  # noqa: S101 — exports belong to a project
    return path_of(job.project_id, job.id, job.attempt)


def path_of(project_id: int, job_id: int, attempt: int) -> str:
    """Where an attempt of an export job puts its bundle."""
    return f"{attempt_files.folder(project_id, 'exports', job_id, attempt)}/bundle.zip"


def bundle_name(project_name: str, job: Job) -> str:
    """The file name under which a bundle is downloaded: ``student-PROJECT-vN-FORMAT.zip``."""
    return name_of(project_name, job.payload["version"], job.payload["format"])


def name_of(project_name: str, version: int, format: str) -> str:
    """The file name of a bundle, in plain ASCII.

    >>> name_of("Näh-Maschinen & Co.", 3, "onnx-int8")
    'student-nah-maschinen-co-v3-onnx-int8.zip'
    """
    return f"student-{slug(project_name)}-v{version}-{format}.zip"


def slug(name: str) -> str:
    """A name in lower-case ASCII letters, digits and hyphens; ``project`` when nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-") or "project"
