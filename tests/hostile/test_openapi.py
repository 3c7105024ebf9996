"""Every call of the OpenAPI document with fitting and unfitting data: no 5xx, and nothing that is undocumented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bench.scenarios.openapi import LEFT_OUT, Found, Ground, run
from tests.api.conftest import make_project
from tests.hostile.world import put_report
from tests.predictor.bundles import text_bundle
from winnow import exports, registry
from winnow.attempt_files import put_folder
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Job, Round, Student, WorkerSeen
from winnow.storage import Storage

#: Examples drawn for each operation; `python -m bench.scenarios.openapi` draws more.
EXAMPLES = 3
SEED = 20
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def ground(
    owner: httpx.Client,
    sign_up: Callable[..., str],
    database: Database,
    storage: Storage,
    tmp_path: Path,
) -> Ground:
    """A project with items, and the rows and files that a round and an export leave."""
    for email in ("viewer@example.org", "another@example.org"):
        sign_up(email)
    project = str(make_project(owner, labels=["a", "b"], name="ground")["id"])
    owner.post(f"/projects/{project}/items", json={"items": [{"text": f"text {n}"} for n in range(200)]})
    number, now = int(project), utcnow()
    path = f"projects/{project}/students/1-1"
    put_folder(storage, text_bundle(tmp_path / "made"), f"{path}/serving")
    put_report(storage, path)
    student = Student(project_id=number, version=1, round=1, family="any", path=path, labels=2, metrics={}, recipe={})
    made = Round(
        project_id=number, n=1, state="trained", cutoff=0, labels=2, strategy="auto", student_version=1, promoted=True,
        reason="the first", metrics={}, costs={}, seconds=1.0, started_at=now,
    )  # fmt: skip
    job = Job(
        kind="export", project_id=number, payload={"version": 1, "format": "onnx-int8"}, state="succeeded",
        attempt=1, progress=1.0, message="done", result={"download_url": "/"}, finished_at=now,
    )  # fmt: skip
    with database.write() as session:
        registry.add_student(session, student, promoted=True)
        session.add_all([made, job, WorkerSeen(name="a worker", seen_at=now.replace(year=now.year + 1))])
        session.flush()
        storage.put_bytes(b"PK", exports.bundle_path(job))
        export = str(job.id)
    people = ["viewer@example.org", "another@example.org"]
    return Ground(owner, owner, project, round="1", export=export, people=people)


def check(found: Found, document: dict[str, object], tell: Callable[[str], None]) -> None:
    tell(f"schemathesis: {found.cases.total()} cases in {found.seconds:.0f} s, {len(found.failures)} failures")
    tell(f"  done after {found.phases}")
    assert found.errors == []
    assert [f"{name} {what}: {told}" for (name, what, _), told in found.failures.items()] == []
    paths: dict[str, dict[str, object]] = document["paths"]  # type: ignore[assignment]
    named = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert set(found.cases) == named - set(LEFT_OUT)


def test_the_owner_is_never_answered_by_a_fault_or_by_anything_undocumented(
    owner: httpx.Client,
    owner_token: str,
    url: str,
    ground: Ground,
    database_kind: str,
    tell: Callable[[str], None],
) -> None:
    phases = {"fuzzing", "stateful"}
    if database_kind == "postgresql":  # the stricter of the two: once is enough for what takes longest
        phases |= {"coverage"}
    found = run(url, owner_token, ground, examples=EXAMPLES, seed=SEED, phases=phases)
    check(found, httpx.get(f"{url}/openapi.json").json(), tell)
    if "coverage" not in phases:
        return
    # The cases reach the code behind the ids: all that can succeed did.
    never = set(found.cases) - found.reached
    # No worker takes up a run that labels the rest: there is none to undo, and the first one keeps others waiting.
    unworked = {"POST /v1/projects/{p}/label-rest", "DELETE /v1/projects/{p}/label-rest/{run}"}
    assert never - unworked == {"GET /metrics", "POST /v1/auth/token", "POST /v1/me/password"}


def test_an_annotator_is_never_answered_by_a_fault_or_by_anything_undocumented(
    api: Callable[[str], httpx.Client],
    owner: httpx.Client,
    sign_up: Callable[..., str],
    url: str,
    ground: Ground,
    tell: Callable[[str], None],
) -> None:
    token = sign_up("ann@example.org")
    member = {"email": "ann@example.org", "role": "annotator"}
    owner.post(f"/projects/{ground.project}/members", json=member).raise_for_status()
    ground.caller = api(token)
    found = run(url, token, ground, examples=EXAMPLES, seed=SEED, phases={"fuzzing"})
    check(found, httpx.get(f"{url}/openapi.json").json(), tell)
    assert {"POST /v1/projects/{p}/labels", "DELETE /v1/projects/{p}/labels/{label}"} <= found.reached
    assert found.codes["POST /v1/users", 403]
