"""The import job: rows into the pool, a short transaction at a time, resumable after any of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from winnow.admission import add_items
from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.errors import Invalid, NotFound
from winnow.importing.formats import check_format, detect_format, read_rows
from winnow.importing.rows import Position, RawRow, Wanted
from winnow.intake import ItemDraft, LabelUse, OnDuplicate, RowError, RowReader
from winnow.jobs import JobContext, request_encode
from winnow.pool import locked_project
from winnow.settings import Settings
from winnow.storage import Storage

#: So long may the rows of a transaction take, as nobody else can write meanwhile. Its commit comes on top: on a slow
#: disk, more and smaller transactions would only keep others out for longer.
_TARGET_SECONDS = 0.03
_FIRST_ROWS, _LEAST_ROWS, _MOST_ROWS = 50, 100, 2000
_MOST_BYTES = 4 << 20
MAX_ERRORS = 1000


@dataclass
class Progress:
    """How far an import is: what the job's checkpoint holds, and in the end its result."""

    position: Position | None = None
    created: int = 0
    duplicates: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, line: int, reason: str) -> None:
        """Count a row that was not kept; the first 1,000 are named."""
        self.rejected += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"line": line, "reason": reason})

    def state(self) -> dict[str, Any]:
        """As a checkpoint."""
        return {"position": self.position, **self.result()}

    def result(self) -> dict[str, Any]:
        """As the job's result."""
        return {
            "created": self.created,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "errors": self.errors,
        }


def run_import(database: Database, storage: Storage, settings: Settings, job: JobContext) -> None:
    """Add the rows of the uploaded file to the pool, from the job's checkpoint on, and finish the job.

    Each transaction holds its rows and the checkpoint behind them, so an import that is killed anywhere and taken up
    again adds each row once. The file itself is left to :func:`winnow.leftovers.sweep_job`, once the job has ended:
    deleted before, it could not be read by an attempt that follows one which died in between.

    Raises:
        Invalid: the file as a whole cannot be used; nothing of it was added.
        Interrupted, LostJob: from the job.
    """
    path = job.payload["path"]
    try:
        with storage.open(path) as file:
            _Import(database, settings, job).run(file)
    except FileNotFoundError:
        raise Invalid("The uploaded file is gone. Upload it again.") from None


class _Import:
    def __init__(self, database: Database, settings: Settings, job: JobContext) -> None:
        assert job.project_id is not None  # noqa: S101 — imports belong to a project
        self._database = database
        self._job = job
        self._project_id: int = job.project_id
        self._labels: LabelUse = job.payload.get("labels", "use")
        self._on_duplicate: OnDuplicate = job.payload.get("on_duplicate", "skip")
        self._progress = Progress(**job.checkpoint_state)
        with database.read() as session:
            project = session.get(Project, self._project_id)
            if project is None or project.archived_at is not None:
                raise NotFound("The project was archived before its file was imported.")
            self._reader = RowReader(project, settings, self._labels)
            self._wanted = Wanted(
                task=project.task,
                classes=self._reader.classes,
                settings=settings,
                feature_dim=project.feature_dim,
                mapping=job.payload.get("mapping") or {},
                use_labels=self._labels == "use",
            )
        self._drafts: list[tuple[int, ItemDraft]] = []
        self._bytes = 0
        self._at_once = _FIRST_ROWS

    def run(self, file: BinaryIO) -> None:
        format = self._format(file)
        last: RawRow | None = None
        waiting = 0
        for raw in read_rows(file, format, self._wanted, self._progress.position):
            self._take(raw)
            last = raw
            waiting += 1
            if waiting >= self._at_once or self._bytes >= _MOST_BYTES:
                self._write(last)
                waiting = 0
                self._job.pause_point()
        if last is None and self._progress.position is None:
            raise Invalid("The file has no rows. Choose a file with at least one.")
        self._finish(last)

    def _format(self, file: BinaryIO) -> str:
        given = self._job.payload.get("format")
        if given:
            return check_format(given)
        file.seek(0)
        return detect_format(self._job.payload.get("filename") or "", file.read(4096))

    def _take(self, raw: RawRow) -> None:
        if raw.row is None:
            self._progress.reject(raw.line, raw.error or "This row cannot be read.")
            return
        try:
            draft = self._reader.draft(raw.row)
        except RowError as error:
            self._progress.reject(raw.line, error.reason)
            return
        self._drafts.append((raw.line, draft))
        self._bytes += len(draft.content or b"") + len(draft.text or "")

    def _write(self, last: RawRow) -> None:
        with self._database.write() as session:
            started = time.perf_counter()
            self._add(session, last)
            message = f"{self._progress.created:,} items added"
            self._job.checkpoint(session, self._progress.state(), last.share, message)
            elapsed = time.perf_counter() - started
        grown = int(self._at_once * min(4.0, _TARGET_SECONDS / max(elapsed, 1e-6)))
        self._at_once = max(_LEAST_ROWS, min(_MOST_ROWS, grown))

    def _add(self, session: Any, last: RawRow) -> None:
        project = locked_project(session, self._project_id)
        result = add_items(
            session,
            project,
            [draft for _, draft in self._drafts],
            labels=self._labels,
            on_duplicate=self._on_duplicate,
            user_id=self._job.requested_by,
        )
        self._progress.created += result.created
        self._progress.duplicates += result.duplicates
        for place, reason in result.rejected:
            self._progress.reject(self._drafts[place][0], reason)
        self._progress.errors.sort(key=lambda error: error["line"])
        self._progress.position = last.after
        self._drafts, self._bytes = [], 0

    def _finish(self, last: RawRow | None) -> None:
        with self._database.write() as session:
            if last is not None:
                self._add(session, last)
            if self._progress.created or (self._progress.duplicates and self._on_duplicate != "skip"):
                request_encode(session, self._project_id)
            self._job.finish(session, self._progress.result())
