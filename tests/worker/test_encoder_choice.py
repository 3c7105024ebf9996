"""Encoders of a project that change: because its labels say so, or because somebody does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models import encoder_minilm, encoders
from tests.worker.service import Service
from tests.worker.stub_minilm import Stub
from winnow import features, projects, registry, rounds
from winnow.db.tables import Encoder, Project
from winnow.features import FeatureStore
from winnow.jobs import JobContext
from winnow.project_settings import default_settings
from winnow.stats import project_stats
from worker import encoder_choice, encoder_comparison, project_encoder
from worker.base import run_job
from worker.round_inputs import load_previous
from worker.tasks import encode


@pytest.fixture(autouse=True)
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_minilm_installed", lambda: True)
    monkeypatch.setattr(encoder_minilm, "MiniLMEncoder", Stub)
    monkeypatch.setattr(Stub, "knows", False)
    monkeypatch.setattr("worker.tasks.encode.look_at_languages", lambda *_: None)
    monkeypatch.setattr(encoder_comparison, "LEAST_LABELS", 40)


def encoder(service: Service, project: int) -> Encoder:
    with service.database.read() as session:
        return session.get_one(Encoder, project)


def told(service: Service, project: int) -> dict[str, Any]:
    with service.database.read() as session:
        found = project_stats(session, session.get_one(Project, project))["encoder"]
    assert isinstance(found, dict)
    return found


def set_encoder(service: Service, project: int, name: str) -> None:
    with service.database.write() as session:
        projects.update_project(session, project, settings={"encoder": name})


def covered(service: Service, project: int) -> tuple[int, str | None]:
    matrix = FeatureStore(service.database, service.storage, service.settings).matrix(project)
    return matrix.covered, matrix.digest


def test_labels_choose_the_encoder_and_the_round_ranks_by_it(service: Service) -> None:
    project = service.make_project(160, encoder="auto")
    service.work()
    assert (encoder(service, project).name, told(service, project)["choice"]) == ("minilm", None)
    service.label(project, 60)
    assert set(service.work()) == {"succeeded"}

    stored = encoder(service, project)
    assert stored.name == "hashed"
    assert covered(service, project) == (160, stored.digest)
    choice = told(service, project)["choice"]
    assert (choice["encoder"], set(choice["losses"])) == ("hashed", {"minilm", "hashed"})
    assert choice["losses"]["hashed"] < choice["losses"]["minilm"]
    with service.database.read() as session:
        last = rounds.last_round(session, project)
        student = registry.list_students(session, project, limit=1)[0]
    assert last is not None
    assert last.metrics["encoder"]["choice"] == choice
    assert f" The encoder is hashed: {choice['why']}." in last.metrics["explanation"]
    assert student.recipe["encoder"] == "hashed"
    assert service.project(project).ranked_round == last.n
    assert len(service.jobs("round")) == 2  # beside the cold start: nothing but its own round followed


def test_the_encoder_stays_where_labels_do_not_speak_against_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stub, "knows", True)
    project = service.make_project(120, encoder="auto")
    service.work()
    service.label(project, 60)
    assert set(service.work()) == {"succeeded"}
    assert encoder(service, project).name == "minilm"
    choice = told(service, project)["choice"]
    assert (choice["encoder"], choice["labels"]) == ("minilm", choice["tested"])
    assert len(service.jobs("encode")) == 1  # nothing was encoded anew


def is_due(labels: int, details: dict[str, Any] | None = None, name: str = "minilm", **settings: str) -> bool:
    project = Project(settings={**default_settings(), **settings})
    snapshot = SimpleNamespace(project=project, training=np.arange(labels), class_count=lambda: 2)
    return encoder_choice._is_due(snapshot, Encoder(name=name, details=details or {}))  # type: ignore[arg-type]


def test_encoders_are_compared_once_labels_are_enough_and_again_when_there_are_four_times_as_many() -> None:
    chosen = {"choice": {"encoder": "minilm", "labels": 50}}
    assert [is_due(39), is_due(40), is_due(40, name="hashed")] == [False, True, True]
    assert [is_due(199, chosen), is_due(200, chosen)] == [False, True]


def test_nothing_is_compared_where_the_settings_rest_on_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in ({"encoder": "minilm"}, {"student": "transformer-2"}, {"teacher": "finetuned"}):
        assert not is_due(100, **asked)
    assert not is_due(100, name="patches")
    monkeypatch.setattr(encoders, "_minilm_installed", lambda: False)
    assert not is_due(100, name="hashed")


@pytest.mark.parametrize(
    ("settings", "wants"),
    [
        ({}, "hashed"),
        ({"encoder": "minilm"}, "minilm"),  # a choice that was made binds nobody
        ({"student": "transformer-2"}, "auto"),  # it needs layers
    ],
)
def test_what_was_chosen_is_what_auto_means(settings: dict[str, str], wants: str) -> None:
    project = Project(settings={**default_settings(), **settings})
    assert project_encoder._wanted(project, {"encoder": "hashed"}) == wants
    assert project_encoder._wanted(project, None) == settings.get("encoder", "auto")


def test_another_encoder_that_is_named_encodes_all_anew_and_a_round_follows(service: Service) -> None:
    project = service.make_project(120)
    service.work()
    service.label(project, 20)
    service.work()
    with service.database.read() as session:
        before = rounds.last_round(session, project)
    snapshot: Any = SimpleNamespace(project=service.project(project))
    same = load_previous(service.runtime(), snapshot, "hashed")
    afresh = load_previous(service.runtime(), snapshot, "minilm")
    assert same is not None
    assert afresh is not None
    assert (same.teacher is None, same.cold_labels) == (False, 20)
    assert (afresh.teacher, afresh.cold_labels) == (None, 0)  # weights of other features mean nothing: both start cold
    assert afresh.student is not None  # which the new one is held against

    set_encoder(service, project, "minilm")
    assert set(service.work()) == {"succeeded"}
    stored = encoder(service, project)
    assert (stored.name, covered(service, project)) == ("minilm", (120, stored.digest))
    with service.database.read() as session:
        last = rounds.last_round(session, project)
        newest = registry.list_students(session, project, limit=1)[0]
    assert last is not None
    assert before is not None
    assert last.n == before.n + 1
    assert newest.recipe["encoder"] == "minilm"
    assert told(service, project)["choice"] is None


def test_encoding_that_is_under_way_goes_over_to_the_encoder_that_is_named(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "CHUNK", 20)
    project = service.make_project(60)
    pause_point, asked = JobContext.pause_point, []

    def change(context: JobContext) -> None:
        asked.append(context.attempt)
        if len(asked) == 1:
            set_encoder(service, project, "minilm")
        pause_point(context)

    monkeypatch.setattr(JobContext, "pause_point", change)
    [job] = service.jobs("encode")
    assert run_job(service.runtime(), "encode", job.id, encode.run) == "interrupted"
    assert run_job(service.runtime(), "encode", job.id, encode.run) == "succeeded"
    assert (encoder(service, project).name, covered(service, project)[0]) == ("minilm", 60)
    assert len(service.jobs("encode")) == 1


def test_a_choice_that_was_overtaken_changes_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    project = service.make_project(60, encoder="auto")
    service.work()
    service.label(project, 45)
    choose = encoder_comparison.choose_encoder

    def name_one(*arguments: Any, **more: Any) -> Any:
        set_encoder(service, project, "minilm")
        return replace(choose(*arguments, **more), encoder="hashed")

    monkeypatch.setattr(encoder_comparison, "choose_encoder", name_one)
    service.work()
    assert encoder(service, project).name == "minilm"
    with service.database.read() as session:
        assert features.covered(session, project) == 60
