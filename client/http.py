"""The calls of the service, one method each."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import httpx

from client.answers import Accepted, Added, Batch, Job, Me, NewToken, NewUser, Page, Project, Token
from client.errors import JobFailed, JobTimeout
from client.pool_predictions import pool_prediction_lines
from client.transport import OnProgress, Transport

Json = dict[str, Any]
Id = str | int


class Client:
    """The service as one person sees it. Use as a context manager, or ``close`` it.

    Every method raises ``ProblemError`` when the service refuses and ``Unreachable`` when it does not answer.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout: float = 30.0, http: httpx.Client | None = None
    ):
        self.transport = Transport(base_url, token, timeout=timeout, http=http)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    # Who

    def sign_in(self, email: str, password: str) -> Token:
        """Get a session token and use it from now on."""
        token = Token.read(self._post("/v1/auth/token", {"email": email, "password": password}))
        self.transport.token = token.access_token
        return token

    def sign_out(self) -> None:
        """End the token that is in use."""
        self._delete("/v1/auth/token")
        self.transport.token = None

    def me(self) -> Me:
        """Who the token stands for."""
        return Me.read(self._get("/v1/me"))

    def change_password(self, current: str, new: str) -> None:
        """Change one's own password; every other sign-in of one's own ends."""
        self._post("/v1/me/password", {"current": current, "new": new})

    def create_token(self, name: str) -> NewToken:
        """Make an API token of one's own."""
        return NewToken.read(self._post("/v1/tokens", {"name": name}))

    def tokens(self) -> list[Json]:
        """One's own API tokens, without their secrets."""
        return list(self._pages("/v1/tokens"))

    def delete_token(self, token_id: Id) -> None:
        """Revoke a token."""
        self._delete(f"/v1/tokens/{_part(token_id)}")

    def create_user(self, email: str, role: str = "member", password: str | None = None) -> NewUser:
        """Make a user (owner only); without a password one is generated and given back once."""
        body = {"email": email, "role": role} | ({"password": password} if password is not None else {})
        return NewUser.read({"role": role} | self._post("/v1/users", body))

    # Projects

    def strategies(self) -> list[str]:
        """The names of the query strategies that a project may have; of other libraries those that are installed."""
        return [str(row["name"]) for row in self._get("/v1/strategies")["data"]]

    def teachers(self) -> list[Json]:
        """The teachers that projects may name: ``{name, tasks, registered, model}`` each."""
        return list(self._get("/v1/teachers")["data"])

    def student_families(self) -> list[Json]:
        """The families of students that projects may name: ``{name, tasks}`` each."""
        return list(self._get("/v1/student-families")["data"])

    def llm_endpoints(self) -> list[Json]:
        """The language models that a project of texts may name as its teacher, and where each sends them."""
        return list(self._get("/v1/llm-endpoints")["data"])

    def create_project(
        self,
        name: str,
        task: str,
        labels: Sequence[str | Mapping[str, Any]],
        *,
        guidelines: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Project:
        """Make a project; ``task`` is text, image or features."""
        body: Json = {"name": name, "task": task, "labels": list(labels)}
        if guidelines is not None:
            body["guidelines"] = guidelines
        if settings is not None:
            body["settings"] = dict(settings)
        return Project.read(self._post("/v1/projects", body))

    def projects(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Project]:
        """One page of the projects that one may see."""
        answer = self._get("/v1/projects", cursor=cursor, limit=limit)
        return Page([Project.read(row) for row in answer["data"]], answer["next"])

    def iter_projects(self) -> Iterator[Project]:
        """All the projects that one may see."""
        cursor: str | None = None
        while True:
            page = self.projects(cursor=cursor)
            yield from page.data
            cursor = page.next
            if cursor is None:
                return

    def project(self, project: Id) -> Project:
        """One project."""
        return Project.read(self._get(_project(project)))

    def update_project(self, project: Id, **changes: Any) -> Project:
        """Change fields of a project (name, labels, guidelines, settings)."""
        return Project.read(self.transport.call("PATCH", _project(project), json=changes))

    def delete_project(self, project: Id, *, confirm: str, purge: bool = False) -> None:
        """Archive a project, or purge it for good; ``confirm`` is its name."""
        self._delete(_project(project), confirm=confirm, purge=purge or None)

    def add_member(self, project: Id, email: str, role: str) -> Json:
        """Give somebody a role in a project: manager, annotator or viewer."""
        return self._json(self._post(_project(project, "members"), {"email": email, "role": role}))

    def members(self, project: Id) -> list[Json]:
        """Everybody who works on a project."""
        return list(self._pages(_project(project, "members")))

    def remove_member(self, project: Id, user: Id) -> None:
        """Take somebody's role away."""
        self._delete(_project(project, "members", user))

    # The pool

    def add_items(
        self,
        project: Id,
        items: Sequence[Mapping[str, Any]],
        *,
        labels: str | None = None,
        on_duplicate: str | None = None,
    ) -> Added:
        """Add up to 1,000 items."""
        answer = self.transport.call(
            "POST",
            _project(project, "items"),
            json={"items": [dict(item) for item in items]},
            params={"labels": labels, "on_duplicate": on_duplicate},
        )
        return Added.read(answer)

    def import_file(
        self,
        project: Id,
        file: Path | BinaryIO,
        *,
        filename: str | None = None,
        format: str | None = None,
        mapping: Mapping[str, str] | None = None,
        labels: str | None = None,
        on_duplicate: str | None = None,
    ) -> Job:
        """Upload a file as an import job. It streams: memory stays flat however long the file is."""
        if isinstance(file, Path):
            with file.open("rb") as opened:
                return self.import_file(
                    project,
                    opened,
                    filename=filename or file.name,
                    format=format,
                    mapping=mapping,
                    labels=labels,
                    on_duplicate=on_duplicate,
                )
        name = filename or PurePath(str(getattr(file, "name", "upload"))).name
        given = {
            "format": format,
            "mapping": json.dumps(dict(mapping)) if mapping is not None else None,
            "labels": labels,
            "on_duplicate": on_duplicate,
        }
        answer = self.transport.call(
            "POST",
            _project(project, "imports"),
            data={key: value for key, value in given.items() if value is not None},
            files={"file": (name, file, "application/octet-stream")},
        )
        return Job.read(answer)

    def items(
        self,
        project: Id,
        *,
        status: str | None = None,
        label: str | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Json]:
        """One page of a pool's items."""
        answer = self._get(_project(project, "items"), status=status, label=label, q=q, cursor=cursor, limit=limit)
        return Page(answer["data"], answer["next"])

    def item(self, project: Id, item: Id) -> Json:
        """One item."""
        return self._json(self._get(_project(project, "items", item)))

    # Labeling

    def batch(self, project: Id, size: int, *, lease_seconds: float | None = None) -> Batch:
        """Lease up to 100 items to label, in rank order. An empty list means that nothing is left for the caller."""
        body: Json = {"size": size} | ({"lease_seconds": lease_seconds} if lease_seconds is not None else {})
        return Batch.read(self._post(_project(project, "batches"), body))

    def send_labels(self, project: Id, labels: Sequence[Mapping[str, Any]]) -> Accepted:
        """Send up to 1,000 labels. Each gets a ``request_id`` where it has none, so that a retry cannot double it."""
        entries = [{"request_id": str(uuid.uuid4()), **entry} for entry in labels]
        answer = self.transport.call("POST", _project(project, "labels"), json={"labels": entries}, again=True)
        return Accepted.read(answer)

    def undo_label(self, project: Id, label: Id) -> Json:
        """Undo a label: ``{item, lease}``; the item is the caller's to label again."""
        return self._json(self.transport.call("DELETE", _project(project, "labels", label), again=False))

    def iter_labels(self, project: Id, *, all: bool = False) -> Iterator[Json]:
        """Every standing label (with ``all`` the whole history), streamed."""
        with self.transport.stream(
            _project(project, "labels"), params={"format": "jsonl", "all": all or None}
        ) as answer:
            for line in answer.iter_lines():
                if line:
                    yield json.loads(line)

    def download_labels(self, project: Id, out: BinaryIO, *, format: str = "jsonl", all: bool = False) -> int:
        """Write every standing label to ``out`` and give the number of bytes."""
        return self.transport.download(_project(project, "labels"), out, params={"format": format, "all": all or None})

    def leases(self, project: Id) -> list[Json]:
        """The caller's live leases with their items."""
        return list(self._pages(_project(project, "leases")))

    def renew_lease(self, project: Id, lease: Id) -> Json:
        """Hold an item for longer."""
        return self._json(self._post(_project(project, "leases", lease, "renew"), None))

    def release_lease(self, project: Id, lease: Id) -> None:
        """Give an item back."""
        self._delete(_project(project, "leases", lease))

    # Rounds and students

    def start_round(self, project: Id) -> Job:
        """Train now."""
        return Job.read(self._post(_project(project, "rounds"), None))

    def rounds(self, project: Id) -> list[Json]:
        """Every round of a project."""
        return list(self._pages(_project(project, "rounds")))

    def round(self, project: Id, n: int) -> Json:
        """One round."""
        return self._json(self._get(_project(project, "rounds", n)))

    def students(self, project: Id) -> list[Json]:
        """Every student of a project, newest first."""
        return list(self._pages(_project(project, "students")))

    def student(self, project: Id, version: int | str = "current") -> Json:
        """One student."""
        return self._json(self._get(_project(project, "students", version)))

    def student_report(self, project: Id, version: int | str = "current") -> Json:
        """What was measured of a student; a 404 where nothing was."""
        return self._json(self._get(_project(project, "students", version, "report")))

    def report_picture(self, project: Id, version: int | str, name: str) -> bytes:
        """A PNG of a report: confusion, calibration or pareto; a 404 where that was not measured."""
        out = io.BytesIO()
        self.transport.download(_project(project, "students", version, "report", f"{name}.png"), out)
        return out.getvalue()

    def promote_student(self, project: Id, version: int) -> Json:
        """Make a student the current one; also how to roll back."""
        return self._json(self._post(_project(project, "students", version, "promote"), None))

    def export_student(
        self, project: Id, version: int | str = "current", *, format: str = "onnx-int8", **aim: float
    ) -> Job:
        """Start an export; the job's result has the ``download_url``. A cascade may be given accuracy or share."""
        return Job.read(self._post(_project(project, "students", version, "exports"), {"format": format, **aim}))

    def download(self, path: str, out: BinaryIO, *, on_progress: OnProgress | None = None) -> int:
        """Write what a relative ``download_url`` points at to ``out`` and give the number of bytes."""
        return self.transport.download(path, out, on_progress=on_progress)

    def predict(self, project: Id, items: Sequence[Mapping[str, Any]], *, version: int | None = None) -> Json:
        """Ask a student: ``{version, predictions: [{label, confidence, probabilities}]}``."""
        body: Json = {"items": [dict(item) for item in items]} | ({"version": version} if version is not None else {})
        return self._json(self.transport.call("POST", _project(project, "predictions"), json=body, again=True))

    def iter_predictions(self, project: Id, *, version: int | None = None) -> Iterator[Json]:
        """What people and the student say of each item of the pool, streamed; goes on by itself where it broke off."""
        for line in pool_prediction_lines(self.transport, _project(project, "predictions"), version=version):
            yield json.loads(line)

    def download_predictions(
        self,
        project: Id,
        out: BinaryIO,
        *,
        format: str = "jsonl",
        version: int | None = None,
        raw: bool = False,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Write what is said of each item of the pool to ``out``, and give the number of lines.

        ``on_progress`` is told the lines so far and how many items there are.
        """
        lines = pool_prediction_lines(
            self.transport, _project(project, "predictions"), format=format, version=version, raw=raw, told=on_progress
        )
        written = 0
        for line in lines:
            out.write(line)
            written += 1
        return written

    def label_rest(self, project: Id, *, alpha: float = 0.05, confidence: float = 0.95, dry_run: bool = True) -> Job:
        """Accept the current student's labels above a certified threshold; a dry run says what that would be."""
        body = {"alpha": alpha, "confidence": confidence, "dry_run": dry_run}
        return Job.read(self._post(_project(project, "label-rest"), body))

    def label_runs(self, project: Id) -> list[Json]:
        """Every run that labelled the rest, newest first."""
        return list(self._pages(_project(project, "label-rest")))

    def undo_label_run(self, project: Id, run: Id) -> Job:
        """Take back the labels of a run that still stand."""
        return Job.read(self.transport.call("DELETE", _project(project, "label-rest", run), again=False))

    def stats(self, project: Id) -> Json:
        """How a project stands."""
        return self._json(self._get(_project(project, "stats")))

    # Jobs

    def job(self, job: Id) -> Job:
        """How a job stands."""
        return Job.read(self._get(f"/v1/jobs/{_part(job)}"))

    def cancel_job(self, job: Id) -> Job:
        """Cancel a job and give how it stands then; a 409 once it has ended."""
        return Job.read(self.transport.call("DELETE", f"/v1/jobs/{_part(job)}", again=False))

    def wait_job(
        self,
        job: Job | Id,
        *,
        timeout: float | None = None,
        on_progress: Callable[[Job], None] | None = None,
        poll: float = 0.2,
    ) -> Job:
        """Wait until a job succeeded and give it; ``on_progress`` is called with every change.

        Raises JobFailed when it failed or was canceled, JobTimeout after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        seen: Job | None = None
        while True:
            now = self.job(job.id if isinstance(job, Job) else job)
            if on_progress is not None and now != seen:
                on_progress(now)
            seen = now
            if now.state == "succeeded":
                return now
            if now.done:
                raise JobFailed(now)
            if deadline is not None and time.monotonic() >= deadline:
                raise JobTimeout(now, timeout or 0.0)
            time.sleep(poll)

    def ready(self) -> bool:
        """Whether the service and all that it needs are up."""
        answer = self._get("/readyz")
        return bool(answer)

    # Below

    def _get(self, path: str, **params: Any) -> Any:
        return self.transport.call("GET", path, params=params or None)

    def _post(self, path: str, body: Any) -> Any:
        return self.transport.call("POST", path, json=body)

    def _delete(self, path: str, **params: Any) -> Any:
        return self.transport.call("DELETE", path, params=params or None)

    def _pages(self, path: str) -> Iterator[Json]:
        """The rows of a list, page after page; a bare JSON array counts as one page."""
        cursor: str | None = None
        while True:
            answer = self._get(path, cursor=cursor)
            if isinstance(answer, list):
                yield from answer
                return
            yield from answer["data"]
            cursor = answer.get("next")
            if cursor is None:
                return

    @staticmethod
    def _json(answer: Any) -> Json:
        return dict(answer or {})


def _part(value: Id) -> str:
    return quote(str(value), safe="")


def _project(project: Id, *rest: Id) -> str:
    return "/".join(["/v1/projects", _part(project), *(_part(part) for part in rest)])
