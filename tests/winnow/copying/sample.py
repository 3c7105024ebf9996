"""A project with something in every table, beside others, and what to compare two of them by."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from tests.winnow.pools import Pool
from winnow import audit, jobs
from winnow.db.base import Base, utcnow
from winnow.db.session import Database
from winnow.db.tables import (
    AuditEntry,
    Content,
    Encoder,
    FeatureShard,
    Item,
    Job,
    Label,
    LedgerEntry,
    LlmAnswer,
    Member,
    Project,
    Round,
    Student,
    Token,
    User,
)
from winnow.leftovers import upload_path
from winnow.project_settings import default_settings
from winnow.settings import Settings
from winnow.storage import Storage

#: What is hard to keep: the last bit of a float, large numbers, JSON of every kind, characters from everywhere.
META = {"z": 1e21, "a": [1, 1.0, -0.5e-7, 2**60, True, None, "ß\u2028😀'\"\\"], "": {"nested": {}}}
AWKWARD = "Grüße 😀 \\ ' \" \t \r\n \u200b end"
THIRD = 1 / 3


def storage(folder: Path) -> Storage:
    """A storage of files in ``folder``."""
    return Storage(folder.as_uri(), folder.parent / "cache")


def other_projects(database: Database, n: int) -> None:
    """Projects with rows of their own, so that ids do not begin at 1 and are not dense."""
    with database.write() as session:
        for number in range(n):
            user = User(email=f"other{number}@example.org", password_hash="!", role="member")
            session.add(user)
            session.flush()
            project = Project(
                name=f"other {number}",
                task="text",
                labels=[{"name": "a"}],
                settings=default_settings(),
                order_key=hashlib.sha256(f"{database.url} {number}".encode()).hexdigest(),
                created_by=user.id,
            )
            session.add(project)
            session.flush()
            same = {"project_id": project.id, "digest": "d", "group_digest": "g", "split": "pool", "is_open": True}
            items = [Item(**same, number=i, shuffle=i) for i in range(3)]
            session.add_all(items)
            session.flush()
            told = {"project_id": project.id, "user_id": user.id, "kind": "label", "value": "a", "source": "human"}
            session.add_all(Label(**told, item_id=item.id) for item in items)
            session.add(Job(project_id=project.id, kind="import", state="succeeded", payload={}))
            audit.record(session, "project.create", user_id=user.id, project_id=project.id)


class Sample(Pool):
    """A pool on which people have worked, with rounds, students, jobs of every state, and files."""

    storage: Storage
    upload: str

    @classmethod
    def worked_on(cls, database: Database, settings: Settings, files: Storage) -> Sample:
        """Make one."""
        other_projects(database, 2)
        sample = cls.make(database, settings, overlap=2)
        sample.storage = files
        sample.fill(20)
        sample.add(
            {"text": AWKWARD, "key": "awkward", "meta": META},
            {"text": "imported", "key": "imported", "label": "ham"},
            {"text": "measured", "key": "measured", "label": "spam", "split": "test"},
            labels="use",
        )
        sample._people()
        sample._labels()
        sample._jobs()
        sample._round()
        return sample

    def _people(self) -> None:
        with self.database.write() as session:
            session.add(Member(project_id=self.project_id, user_id=self.users[2], role="viewer"))
            session.add(Member(project_id=self.project_id, user_id=self.users[0], role="manager"))
            session.add(Member(project_id=self.project_id, user_id=self.users[1], role="annotator"))
            session.get_one(User, self.users[0]).role = "owner"
            session.get_one(User, self.users[0]).password_hash = "$argon2id$of-the-owner"
            session.get_one(User, self.users[1]).role = "admin"
            session.get_one(User, self.users[2]).disabled_at = utcnow()
            session.get_one(Project, self.project_id).created_by = self.users[0]
            removed = User(email="removed@example.org", password_hash="!", role="member")
            session.add(removed)
            session.flush()
            caller = {"user_id": self.users[0], "project_id": self.project_id, "address": "::1"}
            audit.record(session, "member.remove", **caller, user=str(removed.id))
            session.add(Token(user_id=self.users[0], name="laptop", kind="api", secret_hash="a" * 64))

    def _labels(self) -> None:
        items = self.items()
        first = self.label(0, items[0].id, "spam", seconds=THIRD, request_id="one")
        self.label(1, items[0].id, "ham")
        self.label(0, items[0].id, "ham", request_id="two")  # supersedes the first
        self.write(0, {"item": str(items[1].id), "skip": True}, {"item": str(items[2].id), "flag": "torn\tpage ß"})
        undone = self.label(1, items[3].id, "spam")
        self.undo(1, undone)
        self.rank(5, 4, 6, 7)
        batch = self.claim(0, 3)
        self.write(
            0, *({"item": str(held.item_id), "label": "spam", "lease": str(held.lease_id)} for held in batch.items)
        )
        self.claim(1, 2)  # somebody holds items
        assert first

    def _jobs(self) -> None:
        """An import that runs, a round that runs and one that waits, and what has ended; paths bear their numbers."""
        self.upload = upload_path(self.project_id)
        p, moment = self.project_id, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
        made = [
            Job(kind="encode", state="succeeded", payload={}, attempt=1, result={"items": 23}),
            Job(kind="export", state="succeeded", payload={"version": 1, "format": "onnx-int8"}, attempt=2),
            Job(kind="import", state="running", attempt=1, payload={"path": self.upload, "bytes": 5}),
            Job(kind="round", state="running", attempt=3, payload={"forced": True}),
            Job(kind="round", state="queued", attempt=0, payload={}),
            Job(
                kind="import", state="failed", attempt=1, payload={"path": f"projects/{p}/imports/gone"}, error={"a": 1}
            ),
            Job(kind="round", state="succeeded", attempt=1, payload={}, result={"round": 1, "student": 1}),
        ]
        with self.database.write() as session:
            for job in made:
                job.project_id, job.requested_by, job.created_at = p, self.users[0], moment
                if job.state == "running":
                    job.worker, job.lease_until, job.hinted_at = "host:1:2", moment + timedelta(days=9999), moment
            session.add_all(made)
            session.flush()
            export, running = made[1], made[2]
            export.result = {"download_url": f"/v1/projects/{p}/students/1/exports/{export.id}", "bytes": 3}
            running.checkpoint = {"position": [1, 2], "created": 7}
            made[3].checkpoint = {
                "digest": "d",
                "steps": {"teacher": f"projects/{p}/scratch/{made[3].id}-3/teacher.npz"},
            }
            caller = {"user_id": self.users[0], "project_id": p}
            audit.record(session, "items.import", **caller, job=str(running.id), filename="a.csv")
            audit.record(session, "job.cancel", **caller, job=made[5].id, kind="import")
            self.jobs = {job.kind + job.state: job.id for job in made}
        self.storage.put_bytes(b"x,y\n1", self.upload)
        self.storage.put_bytes(b"zip", f"projects/{p}/exports/{self.jobs['exportsucceeded']}-2/bundle.zip")
        self.storage.put_bytes(b"left by an attempt", f"projects/{p}/students/999-1/student/model.safetensors")

    def _round(self) -> None:
        p, encode, trained = self.project_id, self.jobs["encodesucceeded"], self.jobs["roundsucceeded"]
        shard = f"projects/{p}/features/{encode}-1/0-23.npy"
        with self.database.write() as session:
            cutoff = max(label.id for label in self.labels())
            session.add(
                Encoder(
                    project_id=p,
                    name="hashed",
                    version="1",
                    digest="e" * 64,
                    dim=2,
                    dtype="float16",
                    path=f"projects/{p}/encoders/{encode}-1",
                    details={"fitted_on": 23},
                )
            )
            session.add(FeatureShard(project_id=p, start=0, stop=23, path=shard, n_cut=1, seconds=THIRD))
            session.add(
                Round(
                    project_id=p,
                    n=1,
                    job_id=trained,
                    state="trained",
                    cutoff=cutoff,
                    labels=5,
                    strategy="margin",
                    student_version=1,
                    promoted=True,
                    reason="the first student",
                    metrics={"accuracy": {"value": THIRD}},
                    costs={"cpu_seconds": 1.5},
                    started_at=utcnow(),
                )
            )
            session.add(
                Student(
                    project_id=p,
                    version=1,
                    round=1,
                    family="hashed",
                    path=f"projects/{p}/students/{trained}-1",
                    labels=5,
                    metrics={},
                    recipe={"seed": 7},
                    promoted_at=utcnow(),
                )
            )
            session.add(
                LedgerEntry(
                    project_id=p,
                    job_id=trained,
                    attempt=1,
                    kind="round",
                    cpu_seconds=0.1 + 0.2,
                    wall_seconds=1e-300,
                    peak_memory_bytes=2**40,
                    flops=1.7976931348623157e308,
                    watt_hours=5e-324,
                    grams_co2e=0.0,
                )
            )
            session.add(
                LlmAnswer(
                    project_id=p,
                    question="a" * 64,
                    family="f" * 64,
                    endpoint="far",
                    model="m",
                    number=7,
                    examples=[1, 2],
                    state="answered",
                    votes=[1],
                    probabilities=[THIRD, 1 - THIRD],
                    calls=1,
                    tokens_in=2**40,
                    tokens_out=1,
                    cost=0.1 + 0.2,
                    currency="USD",
                )
            )
            item = self.items()[0]
            session.add(Content(item_id=item.id, media_type="image/png", data=bytes(range(256))))
        self.storage.put_bytes(np.arange(46, dtype=np.float16).tobytes(), shard)
        self.storage.put_bytes(b"{}", f"projects/{p}/encoders/{encode}-1/encoder.json")
        self.storage.put_bytes(b"weights", f"projects/{p}/students/{trained}-1/student/model.safetensors")
        self.storage.put_bytes(b"graph", f"projects/{p}/students/{trained}-1/serving/model.onnx")


def people(database: Database) -> dict[int, str]:
    """E-mails by id."""
    with database.read() as session:
        return {row.id: row.email for row in session.execute(select(User.id, User.email))}


def everything(database: Database, project_id: int) -> dict[str, list[dict[str, Any]]]:
    """All rows of a project by table, as they are."""
    with database.read() as session:
        rows: dict[str, list[dict[str, Any]]] = {}
        items = session.scalars(select(Item.id).where(Item.project_id == project_id)).all()
        for table in Base.metadata.sorted_tables:
            query = select(*table.c).order_by(*table.primary_key.columns)
            if "project_id" in table.c:
                query = query.where(table.c.project_id == project_id)
            elif table.name == "projects":
                query = query.where(table.c.id == project_id)
            elif table.name == "contents":
                query = query.where(table.c.item_id.in_(items))
            else:
                continue
            rows[table.name] = [dict(row._mapping) for row in session.execute(query)]
        return rows


def audit_actions(database: Database, project_id: int) -> list[str]:
    """What was done to a project, in order."""
    with database.read() as session:
        wanted = select(AuditEntry.action).where(AuditEntry.project_id == project_id).order_by(AuditEntry.id)
        return list(session.scalars(wanted))


__all__ = ["META", "Sample", "audit_actions", "everything", "jobs", "other_projects", "people", "storage"]
