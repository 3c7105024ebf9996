"""Files that no row points to any more, left by processes that died: found and deleted.

A file is written first and the row that names it is committed after, so a file without a row is either about to get
one (its job is active) or rubbish. A job that has ended names its worker until somebody has swept after it.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from winnow import jobs
from winnow.attempt_files import Purpose, folder
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard, Job, Student
from winnow.local_cache import PART
from winnow.storage import Storage

#: So long a file without a row may be on its way, and a half-written one may stand still.
GRACE = timedelta(hours=1)
#: A job that has just ended is swept by whoever did it.
SWEPT_BY_ITSELF = timedelta(minutes=1)
_INCOMING = "incoming"
_UPLOAD = re.compile(rf"{_INCOMING}/\d+/(?P<at>\d+)-[0-9a-f]+")
_KEPT: tuple[Purpose, ...] = ("students", "encoders", "features", "exports")


def upload_path(project_id: int) -> str:
    """Where the file of a new import is put. It bears the time: if its job never comes, its age tells."""
    return f"{uploads_of(project_id)}/{int(time.time())}-{secrets.token_hex(16)}"


def uploads_of(project_id: int) -> str:
    """The folder of a project's uploads; a purge deletes it."""
    return f"{_INCOMING}/{project_id}"


def sweep(
    database: Database, storage: Storage, *, grace: timedelta = GRACE, settle: timedelta = SWEPT_BY_ITSELF
) -> list[str]:
    """Delete all that was left behind; returns what was deleted."""
    with database.read() as session:
        ended = jobs.unswept_jobs(session, utcnow() - settle)
    deleted = [path for job in ended for path in sweep_job(database, storage, job.id)]
    deleted += _sweep_uploads(database, storage, grace)
    return deleted + _sweep_parts(storage, grace)


def sweep_job(database: Database, storage: Storage, job_id: int) -> list[str]:
    """Delete what an ended job left: its upload, scratch files, and files of its attempts that no row points to."""
    deleted: list[str] = []
    with database.read() as session:
        job = session.get(Job, job_id)
    if job is None or job.project_id is None or job.state in ("queued", "running"):
        return deleted
    for attempt in range(1, job.attempt + 1):
        found = {purpose: storage.list(folder(job.project_id, purpose, job.id, attempt)) for purpose in _KEPT}
        files = [file for listed in found.values() for file in listed]
        if files:
            with database.read() as session:
                kept = _pointed_to(session, job, attempt)
            for file in files:
                if not file.startswith(kept):
                    storage.delete(file)
                    deleted.append(file)
        scratch = folder(job.project_id, "scratch", job.id, attempt)
        deleted += storage.list(scratch)
        storage.delete(scratch)
    upload = job.payload.get("path") if job.kind == "import" else None
    if upload and storage.exists(upload):
        storage.delete(upload)
        deleted.append(upload)
    with database.write() as session:
        jobs.mark_swept(session, [job.id])
    return deleted


def _pointed_to(session: Session, job: Job, attempt: int) -> tuple[str, ...]:
    """The beginnings of the paths, among those of an attempt, that rows point to."""
    assert job.project_id is not None  # noqa: S101 — the caller looked
    kept: list[str] = []
    if job.state == "succeeded" and job.attempt == attempt:
        kept.append(folder(job.project_id, "exports", job.id, attempt) + "/")
    for row, purpose in ((Student, "students"), (Encoder, "encoders")):
        path = folder(job.project_id, purpose, job.id, attempt)  # type: ignore[arg-type]
        named = select(row.path).where(row.project_id == job.project_id, row.path.startswith(path, autoescape=True))
        kept += [f"{found}/" for found in session.scalars(named) if found == path or found.startswith(f"{path}/")]
    shards = folder(job.project_id, "features", job.id, attempt) + "/"
    named = select(FeatureShard.path).where(
        FeatureShard.project_id == job.project_id, FeatureShard.path.startswith(shards, autoescape=True)
    )
    return (*kept, *session.scalars(named))


def abandon(session: Session, paths: Iterable[str]) -> None:
    """Rows pointed to these files of attempts and do so no longer: have their jobs swept again."""
    found = {re.search(r"/(\d+)-\d+(?:/|$)", path) for path in paths}
    jobs.mark_swept(session, sorted({int(match[1]) for match in found if match}), swept=False)


def _sweep_uploads(database: Database, storage: Storage, grace: timedelta) -> list[str]:
    """Uploads whose import has ended, or never began because the API died before it wrote the job."""
    files = storage.list(_INCOMING)
    if not files:
        return []
    with database.read() as session:
        active = select(Job.payload).where(Job.kind == "import", Job.state.in_(("queued", "running")))
        wanted = {payload.get("path") for payload in session.scalars(active)}
    oldest = time.time() - grace.total_seconds()
    unwanted = [file for file in files if file not in wanted and _uploaded_at(file) <= oldest]
    for file in unwanted:
        storage.delete(file)
    return unwanted


def _uploaded_at(file: str) -> float:
    match = _UPLOAD.fullmatch(file)
    return float(match["at"]) if match else 0.0


def _sweep_parts(storage: Storage, grace: timedelta) -> list[str]:
    """Half-written files that nobody has written to for long, where the storage is a folder."""
    oldest = time.time() - grace.total_seconds()
    deleted = []
    for place, _, names in os.walk(storage.folder) if storage.folder is not None else ():
        for name in names:
            part = Path(place, name)
            if name.startswith(PART) and _untouched_since(part, oldest):
                part.unlink(missing_ok=True)
                deleted.append(str(part))
    return deleted


def _untouched_since(file: Path, moment: float) -> bool:
    try:
        return file.stat().st_mtime <= moment
    except FileNotFoundError:
        return False
