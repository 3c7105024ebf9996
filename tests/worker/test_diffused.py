"""Diffused features of a project: made once, extended, made again; measured items are nobody's neighbour."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select, update

from models.teachers import column_scaling
from sampler.diffusion import DiffusedPool, diffuse
from tests.worker.conftest import Begun
from tests.worker.service import Service, text_of, truth
from winnow import rounds
from winnow.db.tables import Item
from winnow.features import FeatureMatrix, FeatureStore
from worker import diffused
from worker.diffused import load_spread

Loaded = tuple[FeatureMatrix, dict[str, NDArray[np.floating]]]


@pytest.fixture
def project(begun: Begun) -> int:
    """150 encoded texts."""
    return begun(encoded)


def encoded(service: Service) -> int:
    made = service.make_project(150)
    service.work()
    return made


def load(service: Service, project: int) -> Loaded:
    store = FeatureStore(service.database, service.storage, service.settings)
    matrix = store.matrix(project)
    return matrix, load_spread(service.runtime(), store, project, matrix, matrix.array)


def in_pool(service: Service, project: int) -> list[int]:
    with service.database.read() as session:
        wanted = select(Item.number).where(Item.project_id == project, Item.split == "pool").order_by(Item.number)
        return list(session.scalars(wanted))


def never(*args: object, **kwargs: object) -> None:
    raise AssertionError("diffused again")


def test_it_is_made_of_the_pool_and_of_no_measured_item(
    service: Service, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam = [text_of(n, "exam") for n in range(30)]
    service.add_rows(project, [{"text": text, "label": truth(text), "split": "test"} for text in exam])
    service.work()
    graphs: list[list[int]] = []
    real = diffused.diffuse

    def spied(features: NDArray[np.floating], references: NDArray[np.int64], **options: object) -> DiffusedPool:
        graphs.append(references.tolist())
        return real(features, references, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(diffused, "diffuse", spied)
    shutil.rmtree(service.settings.cache_folder / "features" / "derived")  # what the first round made
    matrix, views = load(service, project)
    assert list(views) == ["blended", "diffused"]
    for rows in views.values():
        assert rows.shape[0] == 180
        np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float32), axis=1), 1.0, atol=2e-3)
    halves = matrix.array.astype(np.float32) + views["diffused"]
    halves /= np.linalg.norm(halves, axis=1, keepdims=True)
    np.testing.assert_allclose(views["blended"].astype(np.float32), halves, atol=2e-3)
    assert graphs == [in_pool(service, project)] == [list(range(150))]


def test_it_is_computed_once(service: Service, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = load(service, project)
    monkeypatch.setattr(diffused, "diffuse", never)
    _, second = load(service, project)
    assert set(first) == set(second) == {"blended", "diffused"}
    for name, rows in first.items():
        np.testing.assert_array_equal(rows, second[name])


def test_a_few_more_items_are_seen_from_the_graph_that_there_is(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = service.make_project(150, holdout=False)  # else more items move the holdout's share, and rows with it
    service.work()
    _, before = load(service, project)
    monkeypatch.setattr(diffused, "diffuse", never)
    service.add_rows(project, [{"text": text_of(n)} for n in range(150, 170)])
    service.work()
    matrix, grown = load(service, project)
    assert set(before) == set(grown) == {"blended", "diffused"}
    for name, rows in grown.items():
        assert rows.shape[0] == 170
        np.testing.assert_array_equal(rows[:150], before[name])
        np.testing.assert_allclose(np.linalg.norm(rows[150:].astype(np.float32), axis=1), 1.0, atol=2e-3)
    made = diffuse(matrix.array[:150], np.arange(150), scaling=column_scaling(matrix.array[:150]))
    expected = made.of_features(np.asarray(matrix.array[150:]))  # seen from rows as long as the walk left them
    np.testing.assert_allclose(grown["diffused"][150:].astype(np.float32), expected, atol=2e-3)


def test_a_fifth_more_items_make_a_new_graph(service: Service, project: int) -> None:
    load(service, project)
    service.add_rows(project, [{"text": text_of(n)} for n in range(150, 190)])
    service.work()
    matrix, _ = load(service, project)
    store = FeatureStore(service.database, service.storage, service.settings)
    [name] = store.derived_names(project, matrix)
    assert name.startswith("190-")


def test_an_item_that_becomes_a_measured_one_leaves_the_graph(service: Service, project: int) -> None:
    matrix, _ = load(service, project)
    store = FeatureStore(service.database, service.storage, service.settings)
    before = store.derived_names(project, matrix)
    with service.database.write() as session:
        first = in_pool(service, project)[0]
        session.execute(update(Item).where(Item.project_id == project, Item.number == first).values(split="test"))
    load(service, project)
    after = store.derived_names(project, matrix)
    assert (len(before), len(after)) == (1, 1)
    assert before != after


def test_pools_that_are_too_small_or_too_large_do_without(
    service: Service, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffused, "MOST_ROWS", 149)
    assert load(service, project)[1] == {}
    small = service.make_project(60)
    service.work()
    assert load(service, small)[1] == {}


def test_a_round_says_which_features_its_teacher_saw(service: Service, project: int) -> None:
    service.label(project, 30)
    service.work()
    with service.database.read() as session:
        metrics = rounds.get_round(session, project, 1).metrics
    losses = metrics["view_losses"]
    assert set(losses) == {"raw", "blended", "diffused"}
    assert losses[metrics["teacher_view"]] == min(losses.values())
