"""Two projects with everything in them, and a person for every role: what calls by the wrong people are tried on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import update

from models.plots import draw_confusion
from models.reports import build_pareto, build_report
from tests.predictor.bundles import text_bundle
from winnow import exports, jobs, leases, members, projects, registry, users
from winnow.attempt_files import put_folder
from winnow.counters import locked_project
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Job, Label, Lease, Project, Round, Student
from winnow.intake import RowReader
from winnow.labels import write_labels
from winnow.pool import add_items
from winnow.settings import Settings
from winnow.storage import Storage

#: Whoever makes a call: the owner and an admin of the service, the members of the project ``own`` in their roles,
#: somebody signed in who is a member of neither project, and nobody.
ROLES = ("owner", "admin", "manager", "annotator", "viewer", "outsider", "anonymous")
CLASSES = ("a", "b")
PLACES = ("own", "foreign")


def put_report(storage: Storage, path: str) -> None:
    """The report of a student whose files are at ``path``, and one picture of it."""
    measured = {**build_report(CLASSES, [], np.zeros((0, len(CLASSES)))), "pareto": build_pareto([])}
    storage.put_bytes(json.dumps(measured).encode(), f"{path}/report/{registry.REPORT}")
    storage.put_bytes(draw_confusion([[2, 0], [1, 3]], CLASSES), f"{path}/report/confusion.png")


@dataclass
class World:
    """``project(place)`` is the id of a project; ``own`` has members in every role, ``foreign`` one stranger only."""

    database: Database
    storage: Storage
    settings: Settings
    bundle: Path
    users: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    _projects: dict[str, int] = field(default_factory=dict)
    _numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    def people(self) -> None:
        """Make an account with a token for every role, and for the stranger of the foreign project."""
        for role in (*ROLES[:-1], "stranger", "spare"):
            self.person(role, role if role in ("owner", "admin") else "member")

    def person(self, name: str, role: str = "member") -> str:
        """An account ``name@example.org``; gives a token of it."""
        with self.database.write() as session:
            user = users.add_user(session, users.NewUser(f"{name}@example.org", role, "!", None))
            self.users[name] = user.id
            self.tokens[name] = users.issue_token(session, user.id, "test", "api")[1]
        return self.tokens[name]

    def session_token(self, name: str) -> str:
        """One more token, as a sign-in makes it."""
        with self.database.write() as session:
            return users.issue_token(session, self.users[name], "sign-in", "session", 1.0)[1]

    def project(self, place: str) -> int:
        """The project of a place; made when it is first asked for."""
        if place not in self._projects:
            self._projects[place] = self.new_project(place)
            self._fill(self._projects[place])
        return self._projects[place]

    def new_project(self, place: str) -> int:
        """One more project with the members of a place, without items; its name is ``mine``."""
        maker = "manager" if place == "own" else "stranger"
        identity = users.Identity(self.users[maker], f"{maker}@example.org", "member", 0, False)
        with self.database.write() as session:
            made = projects.create_project(session, identity, name="mine", task="text", labels=CLASSES)
            if place == "own":
                for role in ("annotator", "viewer"):
                    members.add_member(session, made.id, f"{role}@example.org", role)
            return made.id

    def _fill(self, project_id: int) -> None:
        path = f"projects/{project_id}/students/1-1"
        put_folder(self.storage, self.bundle, f"{path}/serving")
        put_report(self.storage, path)
        student = Student(
            project_id=project_id, version=1, round=1, family="any", path=path, labels=2, metrics={}, recipe={}
        )
        made = Round(
            project_id=project_id, n=1, state="trained", cutoff=0, labels=2, strategy="auto", student_version=1,
            promoted=True, reason="the first", metrics={}, costs={}, seconds=1.0, started_at=utcnow(),
        )  # fmt: skip
        with self.database.write() as session:
            registry.add_student(session, student, promoted=True)
            session.add(made)

    def item(self, place: str) -> int:
        """A new item of a place's project."""
        number = self.project(place)
        with self.database.write() as session:
            project = locked_project(session, number)
            draft = RowReader(project, self.settings).draft({"text": f"text {self._numbers()}"})
            add_items(session, project, [draft])
            return int(session.query(Item.id).filter(Item.project_id == project.id).order_by(Item.id.desc()).first()[0])

    def lease(self, place: str, name: str) -> int:
        """A live lease that somebody holds on a new item."""
        item = self.item(place)
        provenance = {"round": 0, "student_version": None, "mechanism": "exploration", "probability": None}
        with self.database.write() as session:
            project = locked_project(session, self.project(place))
            return leases.hold_item(session, project, self.users[name], item, provenance, live=True).lease_id

    def label(self, place: str, name: str) -> int:
        """A standing label of somebody's on a new item."""
        item = self.item(place)
        with self.database.write() as session:
            project = locked_project(session, self.project(place))
            accepted, rejected = write_labels(
                session, project, self.users[name], [{"item": str(item), "label": CLASSES[0]}]
            )
            assert not rejected
            return accepted[0].label_id

    def job(self, place: str, by: str = "manager") -> int:
        """A queued import that somebody asked for; nobody does it."""
        project = self.project(place)
        with self.database.write() as session:
            return jobs.create_job(session, "import", project, {}, self.users[by]).id

    def export(self, place: str) -> int:
        """A succeeded export, with its bundle."""
        payload = {"version": 1, "format": "onnx-int8"}
        job = Job(
            kind="export", project_id=self.project(place), payload=payload, state="succeeded", attempt=1, progress=1.0,
            message="done", result={}, finished_at=utcnow(),
        )  # fmt: skip
        with self.database.write() as session:
            session.add(job)
            session.flush()
            self.storage.put_bytes(b"PK\x05\x06" + bytes(18), exports.bundle_path(job))
            return job.id

    def run(self, place: str) -> int:
        """A run that labelled the rest and can be undone: nothing else works on the model's labels."""
        project = self.project(place)
        with self.database.write() as session:
            both = Job.kind.in_(("label-rest", "label-undo"))
            session.execute(update(Job).where(Job.project_id == project, both).values(state="canceled"))
            payload = {"version": 1, "alpha": 0.05, "confidence": 0.95, "dry_run": False}
            job = Job(kind="label-rest", project_id=project, payload=payload, state="succeeded", result={})
            job.checkpoint = {"first": 1, "last": 1}
            session.add(job)
            session.flush()
            return job.id

    def member(self, place: str) -> int:
        """Somebody who is a member to be removed."""
        project = self.project(place)
        with self.database.write() as session:
            members.add_member(session, project, "spare@example.org", "viewer")
        return self.users["spare"]

    def token(self, name: str) -> int:
        """The id of one more API token of somebody's."""
        with self.database.write() as session:
            return users.issue_token(session, self.users[name], "one more", "api")[0].id

    def standing(self, label_id: int) -> bool:
        """Whether a label stands."""
        with self.database.read() as session:
            return session.get_one(Label, label_id).superseded_at is None

    def held_until(self, lease_id: int) -> datetime:
        """When a lease ends."""
        with self.database.read() as session:
            return session.get_one(Lease, lease_id).expires_at

    def row(self, project_id: int) -> Project:
        """A project's row."""
        with self.database.read() as session:
            return session.get_one(Project, project_id)


def make_world(database: Database, storage: Storage, settings: Settings, folder: Path) -> World:
    """A world with its people; projects come when they are asked for."""
    world = World(database, storage, settings, text_bundle(folder / "bundle"))
    world.people()
    return world


def bearing(token: str | None) -> dict[str, str]:
    """The headers of whoever bears a token; none for nobody."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """The problem in an answer, checked to be one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    return body
