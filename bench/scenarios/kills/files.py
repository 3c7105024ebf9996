"""Files and rows belong together: no file without a row, no row without its files."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from bench.scenarios.kills.deployments import Deployment
from bench.scenarios.kills.invariants import Findings
from winnow import exports, leftovers
from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard, Job, Student
from winnow.local_cache import PART
from winnow.scratch import sweep_scratch
from winnow.storage import Storage

_NOW = timedelta(0)


def check_files(deployment: Deployment, database: Database, findings: Findings) -> int:
    """Sweep as the service does after a while, and compare what is left with the rows; returns how many were swept."""
    storage = Storage.of(deployment.settings)
    swept = leftovers.sweep(database, storage, grace=_NOW, settle=_NOW)
    sweep_scratch(deployment.settings)
    folders, files = _named(database)
    there = storage.list()
    for path in there:
        if path not in files and not any(path.startswith(f"{folder}/") for folder in folders):
            findings.wrong.append(f"no row points to the file {path}")
    for path in files - set(there):
        findings.wrong.append(f"the file {path} of a row is gone")
    for folder in folders:
        if not any(path.startswith(f"{folder}/") for path in there):
            findings.wrong.append(f"the folder {folder} of a row is gone")
    scratch = deployment.settings.cache_folder / "scratch"
    halves = [*deployment.server.data.rglob(f"{PART}*"), *(scratch.iterdir() if scratch.is_dir() else ())]
    findings.wrong += [f"{path} was left behind" for path in halves]
    return len(swept)


def _named(database: Database) -> tuple[set[str], set[str]]:
    """The folders and the files that rows point to."""
    with database.read() as session:
        folders = {*session.scalars(select(Student.path)), *session.scalars(select(Encoder.path))}
        files = set(session.scalars(select(FeatureShard.path)))
        done = select(Job).where(Job.kind == "export", Job.state == "succeeded")
        files |= {exports.bundle_path(job) for job in session.scalars(done)}
    return folders, files
