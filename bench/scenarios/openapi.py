"""Every call of the OpenAPI document with data that fits it and data that does not (schemathesis).

No answer may be a fault of the server, and every status, content type, header and body that comes back must be in the
document. Ids in paths are mostly real ones, so that the calls reach more than "there is none".
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from bench.annotators import sign_in, wait_job
from bench.scenarios.story import finish, parser, say
from bench.server import RunningServer

if TYPE_CHECKING:
    from schemathesis import Case, HookContext
    from schemathesis.config import SchemathesisConfig
    from schemathesis.core.failures import Failure
    from schemathesis.core.transport import Response
    from schemathesis.engine.recorder import ScenarioRecorder
    from schemathesis.schemas import BaseSchema

#: Calls that are left out, and why. They have tests of their own.
LEFT_OUT = {"DELETE /v1/auth/token": "ends the token that the run itself bears"}
#: Calls that answer 201 and name in the body what they did not take of it (the contract says so).
JUDGED_ONE_BY_ONE = {"POST /v1/projects/{p}/items", "POST /v1/projects/{p}/labels"}
#: What no input of a caller can break: 501 says which call a later version brings.
_EXPECTED = ["2xx", "3xx", "4xx", "501"]
#: So often, in hundredths, does a real id or a body that fits the project take the place of a drawn one.
_REAL_PERCENT = 85
_PROJECT = "/v1/projects/{p}"
#: Calls that would end the run, or what it stands on: they only ever get what was made for them.
_ENDING = {"PATCH /v1/projects/{p}", "DELETE /v1/projects/{p}", "DELETE /v1/tokens/{token}"}


@dataclass
class Ground:
    """What the calls are made on: a project with items, a student, its ``round`` and an ``export`` that is there.

    ``owner`` makes what a call is going to use up, ``caller`` makes the calls. ``people`` are e-mails with an account.
    """

    owner: httpx.Client
    caller: httpx.Client
    project: str
    round: str
    export: str
    people: list[str]
    classes: tuple[str, str] = ("a", "b")
    _made: int = 0

    def ids(self, method: str, path: str) -> dict[str, Callable[[], str]]:
        """How to get a real id for each parameter of a path. What the call changes for good is made for it alone."""
        return {
            "p": self.new_project if f"{method} {path}" in _ENDING else lambda: self.project,
            "i": self._item,
            "lease": self._lease,
            "label": self._label,
            "token": self._token,
            "user": self._member,
            "n": lambda: self.round,
            "run": self._run,
            "name": lambda: "confusion",
            "v": lambda: "1" if "{j}" in path else "current",
            "j": (lambda: self.export) if "/exports/" in path else self._job,
        }

    def new_project(self) -> str:
        """A project for one call; its name is ``mine``."""
        body = {"name": "mine", "task": "text", "labels": list(self.classes)}
        return str(self.owner.post("/projects", json=body).raise_for_status().json()["id"])

    def item_and_lease(self) -> tuple[str, str]:
        """An item that the caller holds, and the lease; new items come when none is left."""
        for _ in range(2):
            answer = self.caller.post(f"/projects/{self.project}/batches", json={"size": 1, "lease_seconds": 5})
            if answer.status_code == 200 and answer.json()["items"]:
                item = answer.json()["items"][0]
                return str(item["id"]), str(item["lease"]["id"])
            self._made += 1
            rows = [{"text": f"more text {self._made} {n}"} for n in range(100)]
            self.owner.post(f"/projects/{self.project}/items", json={"items": rows}).raise_for_status()
        return "1", "1"  # the caller may not label here

    def _item(self) -> str:
        return str(self.owner.get(f"/projects/{self.project}/items", params={"limit": 1}).json()["data"][0]["id"])

    def _lease(self) -> str:
        return self.item_and_lease()[1]

    def _label(self) -> str:
        item, _ = self.item_and_lease()
        body = {"labels": [{"item": item, "label": self.classes[0]}]}
        accepted = self.caller.post(f"/projects/{self.project}/labels", json=body).json().get("accepted")
        return str(accepted[0]["id"]) if accepted else "1"

    def _token(self) -> str:
        return str(self.caller.post("/tokens", json={"name": "to be deleted"}).raise_for_status().json()["id"])

    def _member(self) -> str:
        body = {"email": self.people[0], "role": "viewer"}
        return str(self.owner.post(f"/projects/{self.project}/members", json=body).raise_for_status().json()["id"])

    def _run(self) -> str:
        self.owner.post(f"/projects/{self.project}/label-rest", json={})  # 409: another one works, or no student yet
        runs = self.owner.get(f"/projects/{self.project}/label-rest", params={"limit": 1}).json()["data"]
        return str(runs[0]["id"]) if runs else "1"

    def _job(self) -> str:
        return str(self.owner.post(f"/projects/{self.new_project()}/rounds").raise_for_status().json()["id"])


@dataclass
class Found:
    """What a run found: the cases and the status codes of each operation, and each failure once.

    ``phases`` says after how many seconds each of them was done.
    """

    cases: Counter[str] = field(default_factory=Counter)
    codes: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def note(self, recorder: ScenarioRecorder) -> None:
        """Count what one scenario did."""
        for case_id, interaction in recorder.interactions.items():
            node = recorder.cases.get(case_id)
            name = node.value.operation.label if node is not None else recorder.label
            self.cases[name] += 1
            if interaction.response is None:
                self.errors.append(f"{name}: no answer")
                continue
            self.codes[name, interaction.response.status_code] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    self._fail(recorder, case_id, check.name, check.failure_info.failure)

    def _fail(self, recorder: ScenarioRecorder, case_id: str, check: str, failure: Any) -> None:
        name = recorder.cases[case_id].value.operation.label
        told = f"{failure.title}: {failure.message}"
        interaction = recorder.interactions.get(case_id)
        if interaction is not None:
            sent = interaction.request
            told += f"\n  {sent.method} {sent.uri[:500]} {(sent.body or b'')[:1500]!r}"
            if interaction.response is not None:
                told += f"\n  {interaction.response.status_code} {(interaction.response.content or b'')[:500]!r}"
        self.failures.setdefault((name, check, failure.title), told)

    @property
    def reached(self) -> set[str]:
        """The operations that answered with a success at least once."""
        return {name for name, status in self.codes if 200 <= status < 300}


def run(
    url: str, token: str, ground: Ground, *, examples: int, seed: int, phases: set[str], seconds: int | None = None
) -> Found:
    """Call what the document at ``url`` names, as whoever bears ``token``; the same ``seed`` draws the same cases.

    ``examples`` are drawn for each operation, beside those that cover its parameters one by one. ``phases`` are some of
    ``coverage``, ``fuzzing`` and ``stateful``. With ``seconds`` it goes on drawing until so many have passed.
    """
    import schemathesis
    from schemathesis.core.failures import AcceptedNegativeData
    from schemathesis.engine import events, from_schema

    found = Found()
    began = time.perf_counter()
    schema = schemathesis.openapi.from_url(
        f"{url}/openapi.json", config=_config(url, token, examples, seconds, seed, phases)
    )
    real = _Real(ground, random.Random(seed))

    @schema.hook
    def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
        return real.put(case)

    @schema.hook
    def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
        accepted = isinstance(failure, AcceptedNegativeData) and case.operation.label in JUDGED_ONE_BY_ONE
        return not accepted

    for event in from_schema(_all_but_left_out(schema)).execute():
        if isinstance(event, events.ScenarioFinished):
            found.note(event.recorder)
        elif isinstance(event, events.PhaseFinished):
            found.phases[event.phase.name.value] = round(time.perf_counter() - began, 1)
        elif isinstance(event, events.NonFatalError):
            found.errors.append(f"{event.label}: {event.value!r}"[:500])
        elif isinstance(event, events.FatalError):
            raise event.exception
    found.seconds = time.perf_counter() - began
    return found


def _all_but_left_out(schema: BaseSchema) -> BaseSchema:
    for name in LEFT_OUT:
        method, path = name.split()
        schema = schema.exclude(method=method, path=path)
    return schema


def _config(
    url: str, token: str, examples: int, seconds: int | None, seed: int, phases: set[str]
) -> SchemathesisConfig:
    from schemathesis import config as made

    generation = made.GenerationConfig(
        max_examples=examples, deterministic=True, no_shrink=True, database="none", allow_x00=True
    )
    checks = made.ChecksConfig(
        not_a_server_error=made.NotAServerErrorConfig(expected_statuses=_EXPECTED),
        # The document does not say everything that a name, a cursor or a password must be: the answers do.
        positive_data_acceptance=made.PositiveDataAcceptanceConfig(enabled=False),
    )
    project = made.ProjectConfig(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        continue_on_failure=True,
        request_timeout=60.0,
        generation=generation,
        checks=checks,
        phases=made.PhasesConfig(
            examples=made.ExamplesPhaseConfig(enabled=False),
            coverage=made.CoveragePhaseConfig(enabled="coverage" in phases),
            fuzzing=made.FuzzingPhaseConfig(enabled="fuzzing" in phases),
            stateful=made.StatefulPhaseConfig(enabled="stateful" in phases, max_steps=6),
        ),
    )
    return made.SchemathesisConfig(
        seed=seed,
        max_time=seconds,
        projects=made.ProjectsConfig(default=project),
        cache=made.CacheConfig(enabled=False),
        suppress_health_check=[made.HealthCheck.all],
    )


class _Real:
    """Puts real ids and bodies in the place of drawn ones, where those were meant to fit."""

    def __init__(self, ground: Ground, rng: random.Random) -> None:
        self._ground = ground
        self._rng = rng
        self._done: set[tuple[str, str]] = set()

    def put(self, case: Case[Any]) -> Case[Any]:
        """The case on the ground of the run."""
        from schemathesis.core.parameters import ParameterLocation
        from schemathesis.generation.meta import TestPhase
        from schemathesis.generation.modes import GenerationMode

        ending = case.operation.label in _ENDING
        if case.meta is None or (case.meta.phase.name is TestPhase.STATEFUL and not ending):
            return case
        components = case.meta.components
        fits = {place for place, part in components.items() if part.mode is GenerationMode.POSITIVE}
        if ending or (ParameterLocation.PATH in fits and self._often(case, "path")):
            makers = self._ground.ids(case.method.upper(), case.path)
            case.path_parameters = {name: makers[name]() for name in case.path_parameters}
        if case.path == _PROJECT and case.method.upper() == "DELETE" and self._often(case, "query"):
            case.query = {**case.query, "confirm": "mine"}
        if ParameterLocation.BODY in fits and self._often(case, "body"):
            body = self._body(case)
            if body is not case.body:  # to set it makes schemathesis judge it anew, which it cannot for an upload
                case.body = body
        return case

    def _often(self, case: Case[Any], part: str) -> bool:
        """The first time for each part of an operation, so that none is left to chance; then as the seed says."""
        key = (case.operation.label, part)
        first = key not in self._done
        self._done.add(key)
        return first or self._rng.randrange(100) < _REAL_PERCENT

    def _body(self, case: Case[Any]) -> Any:
        ground, body = self._ground, case.body
        name = f"{case.method.upper()} {case.path.removeprefix(_PROJECT)}"
        if not isinstance(body, dict):
            return body
        given = {part: value for part, value in body.items() if isinstance(value, list)}
        if name == "POST /labels" and "labels" in given:
            item, lease = ground.item_and_lease()
            kinds: list[dict[str, Any]] = [{"label": ground.classes[0]}, {"skip": True}, {"flag": "unreadable"}]
            mine = {"item": item, **self._rng.choice(kinds), "lease": lease}
            return {**body, "labels": [mine, *given["labels"]][:1000]}
        if name == "POST /members":
            return {**body, "email": self._rng.choice(ground.people)}
        if name == "POST /v1/users":
            return {"email": f"{self._rng.getrandbits(64):x}@example.org", "role": "member"}
        if name == "POST /predictions":
            return {"items": [{"text": "some text"}]}
        if name == "POST /items" and "items" in given:
            return {**body, "items": [{"text": f"a text {self._rng.random()}"}, *given["items"]][:1000]}
        if name == "POST /v1/projects":
            return {"name": "one more", "task": "text", "labels": ["x", "y"], **self._rng.choice([{}, body])}
        return body


def prepare(url: str, owner: httpx.Client) -> Ground:
    """A project that a running service has trained a student in and exported it; ``owner`` asks below ``/v1``."""
    classes = ("a", "b")
    body = {"name": "ground", "task": "text", "labels": list(classes), "settings": {"encoder": "hashed"}}
    project = str(owner.post("/projects", json=body).raise_for_status().json()["id"])
    rows = [{"text": f"text {n} of {classes[n % 2] * 5}", "label": classes[n % 2]} for n in range(40)]
    rows += [{"text": f"unlabelled {n}"} for n in range(200)]
    owner.post(f"/projects/{project}/items", json={"items": rows}).raise_for_status()
    person = owner.post("/users", json={"email": "ann@example.org", "role": "member"}).raise_for_status().json()
    member = {"email": person["email"], "role": "annotator"}
    owner.post(f"/projects/{project}/members", json=member).raise_for_status()
    with httpx.Client(base_url=url, headers=owner.headers, timeout=60) as waiting:
        for what in (f"/projects/{project}/rounds", f"/projects/{project}/students/current/exports"):
            job = wait_job(waiting, owner.post(what, json={}).raise_for_status().json())
            if job["state"] != "succeeded":
                raise RuntimeError(f"{job['kind']} {job['state']}: {job['error']}")
    return Ground(owner, owner, project, round="1", export=str(job["id"]), people=["ann@example.org"])


def report(found: Found) -> dict[str, Any]:
    """What a run found, as rows."""
    failed = Counter(name for name, _, _ in found.failures)
    codes: dict[str, list[str]] = {}
    for (name, status), n in sorted(found.codes.items()):
        codes.setdefault(name, []).append(f"{status}: {n}")
    rows = [
        {"operation": name, "cases": n, "failures": failed[name], "answers": ", ".join(codes.get(name, []))}
        for name, n in sorted(found.cases.items())
    ]
    return {
        "operations": rows,
        "cases": found.cases.total(),
        "failures": [f"{name}, {check}: {told}" for (name, check, _), told in found.failures.items()],
        "errors": found.errors,
        "seconds": round(found.seconds, 1),
        "done after": found.phases,
    }


def main() -> None:
    """Run it against a server of its own."""
    options = parser(__doc__)
    options.add_argument("--examples", type=int, default=50, help="drawn for each operation, beside the covering ones")
    options.add_argument("--seconds", type=int, help="go on drawing until so many have passed")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with RunningServer() as server, sign_in(server.url, server.email, server.password) as signed_in:
        # The sign-in would end when the run draws the right password; an API token stays.
        token = str(signed_in.post("/v1/tokens", json={"name": "run"}).raise_for_status().json()["token"])
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"{server.url}/v1", headers=headers, timeout=60) as owner:
            ground = prepare(server.url, owner)
            say(f"{given.examples} examples for each operation, seed {given.seed}")
            found = run(
                server.url, token, ground, examples=given.examples, seconds=given.seconds, seed=given.seed,
                phases={"coverage", "fuzzing", "stateful"},
            )  # fmt: skip
            alive = owner.get("/me").status_code == 200
    demands = {"no failure": not found.failures and not found.errors, "the service lives": alive}
    finish(report(found), given.json, demands)


if __name__ == "__main__":
    main()
