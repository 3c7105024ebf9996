"""The names of classes as texts, and as a project's encoder sees them."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoders import Encoder
from models.errors import UnusableModel
from tests.worker.service import Service
from winnow.db.tables import Project
from worker import project_encoder
from worker.class_names import name_words
from worker.project_encoder import class_vectors, encoder_that_is_done


@pytest.mark.parametrize(
    ("name", "description", "words"),
    [
        ("card_arrival", "", "card arrival"),
        ("Sci/Tech", "", "Sci Tech"),
        ("topUpFailed", "  It did not work. ", "top Up Failed. It did not work."),
        ("__", "", "__"),
        ("0", "", "0"),
    ],
)
def test_a_name_becomes_words(name: str, description: str, words: str) -> None:
    assert name_words(name, description) == words


def test_names_are_encoded_once_as_the_items_are(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    project_id = service.make_project(120)
    service.work()
    runtime = service.runtime()
    project = service.project(project_id)
    done = encoder_that_is_done(runtime, project)
    assert done is not None
    loads = []
    load = project_encoder.stored_encoder

    def counted(*args: object) -> Encoder:
        loads.append(args)
        return load(runtime, done)

    monkeypatch.setattr(project_encoder, "stored_encoder", counted)
    vectors = class_vectors(runtime, project, done)
    assert vectors is not None
    assert vectors.shape == (2, done.dim)
    np.testing.assert_array_equal(vectors, load(runtime, done).encode(["spam", "ham"]).features)
    assert class_vectors(runtime, project, done) is vectors
    project.labels = [{**project.labels[0], "description": "pills and money"}, project.labels[1]]
    described = class_vectors(runtime, project, done)
    assert described is not None
    assert (described[0] != vectors[0]).any()
    assert (described[1] == vectors[1]).all()
    assert len(loads) == 2


def test_an_encoder_that_cannot_be_had_any_more_leaves_names_out(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = service.make_project(120)
    service.work()
    runtime = service.runtime()
    done = encoder_that_is_done(runtime, service.project(project_id))
    assert done is not None

    def gone(*_: object) -> Encoder:
        raise UnusableModel("hf:gone", "it is not registered any more.")

    monkeypatch.setattr(project_encoder, "stored_encoder", gone)
    assert class_vectors(runtime, service.project(project_id), done) is None


def test_only_texts_have_names_to_look_for(service: Service) -> None:
    runtime = service.runtime()
    project_id = service.make_project(120)
    service.work()
    done = encoder_that_is_done(runtime, service.project(project_id))
    assert done is not None
    assert class_vectors(runtime, Project(task="image", labels=[{"name": "spam"}]), done) is None


def test_a_round_is_given_names_only_while_auto_has_classes_to_find(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("worker.round_inputs.class_vectors", lambda *args: asked.append(args))
    project_id = service.make_project(120)
    assert set(service.work()) == {"succeeded"}
    assert len(asked) == 1, "the first ranking"
    service.label(project_id, 20)
    assert set(service.work()) == {"succeeded"}
    assert len(asked) == 1, "both classes have labels"
