"""A project with items and labels, made as the API makes it, and a runtime to do its jobs in this process."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from winnow import jobs, labels, pool, projects, queue, users
from winnow.db.session import Database
from winnow.db.tables import Job, Label, Project
from winnow.intake import RowReader
from winnow.settings import Settings
from winnow.storage import Storage
from worker.app import body_of
from worker.base import Runtime, run_job

SPAM = ("pills", "money", "prize", "click", "deal", "offer", "credit", "loan", "cheap", "free", "win", "winner", "cash")
HAM = (
    "lunch",
    "meeting",
    "notes",
    "report",
    "thanks",
    "help",
    "office",
    "train",
    "dinner",
    "school",
    "garden",
    "review",
)


def text_of(n: int, start: str = "") -> str:
    """The ``n``-th text: every second one is spam. No two are near-duplicates."""
    words = random.Random(n).sample(SPAM if n % 2 else HAM, 4)
    return " ".join([start, *words, "abcdefghij"[n % 10] * (n // 10 % 10 + 1)]).strip()


def truth(text: str) -> str:
    """The class of :func:`text_of`."""
    return "spam" if set(text.split()) & set(SPAM) else "ham"


@dataclass
class Service:
    """The parts of a running service that matter to its jobs."""

    settings: Settings
    database: Database
    storage: Storage
    user_id: int

    def runtime(self, worker: str = "elsewhere:1", **changes: Any) -> Runtime:
        """A worker process's connections."""
        return Runtime(self.settings, self.database, self.storage, worker, **changes)

    def make_project(self, n: int = 0, *, task: str = "text", **settings: Any) -> int:
        """A project of ``n`` texts; the names of its classes are spam and ham."""
        identity = users.Identity(self.user_id, "owner@example.org", "owner", 1, False)
        with self.database.write() as session:
            project = projects.create_project(
                session,
                identity,
                name="mail",
                task=task,
                labels=["spam", "ham"],
                settings={"encoder": {"text": "hashed"}.get(task, "auto"), **settings},
            )
            project_id = project.id
        if n:
            self.add_rows(project_id, [{"text": text_of(i)} for i in range(n)])
        return project_id

    def add_rows(self, project_id: int, rows: list[dict[str, Any]]) -> None:
        """Add items, and ask for their encoding."""
        with self.database.write() as session:
            project = pool.locked_project(session, project_id)
            reader = RowReader(project, self.settings, "use")
            drafts = [reader.draft(row) for row in rows]
            added = pool.add_items(session, project, drafts, labels="use", on_duplicate="skip", user_id=self.user_id)
            assert added.created == len(rows), added
            jobs.request_encode(session, project_id)

    def label(self, project_id: int, n: int) -> int:
        """Take a batch of ``n`` items and label them rightly; returns how many there were."""
        with self.database.write() as session:
            project = pool.locked_project(session, project_id)
            batch = queue.claim_batch(session, project, self.user_id, n)
        with self.database.write() as session:
            project = pool.locked_project(session, project_id)
            entries = [
                {"item": str(held.item_id), "label": truth(held.text or ""), "lease": str(held.lease_id)}
                for held in batch.items
            ]
            accepted, rejected = labels.write_labels(session, project, self.user_id, entries)
            assert not rejected
        return len(accepted)

    def jobs(self, kind: str) -> list[Job]:
        """All jobs of a kind, the oldest first."""
        with self.database.read() as session:
            return list(session.scalars(select(Job).where(Job.kind == kind).order_by(Job.id)))

    def waiting(self, kind: str) -> Job:
        """The one job of a kind that waits to be begun."""
        [job] = [job for job in self.jobs(kind) if job.state == "queued"]
        return job

    def work(self, runtime: Runtime | None = None) -> list[str]:
        """Do everything that waits, in this process; returns what became of each job."""
        outcomes = []
        while True:
            with self.database.read() as session:
                due = jobs.startable(session)
            if not due:
                return outcomes
            for kind, job_id in due:
                outcomes.append(run_job(runtime or self.runtime(), kind, job_id, body_of(kind)))

    def project(self, project_id: int) -> Project:
        """The project as it stands."""
        with self.database.read() as session:
            return session.get_one(Project, project_id)

    def standing(self, project_id: int) -> int:
        """How many labels stand."""
        with self.database.read() as session:
            wanted = select(Label.id).where(Label.project_id == project_id, Label.superseded_at.is_(None))
            return len(session.scalars(wanted).all())
