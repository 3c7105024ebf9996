"""Encoding as a job: every item once, in shards, and on from where it was stopped."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from sqlalchemy import select

from tests.worker.service import Service
from winnow import features, jobs
from winnow.db.tables import Encoder, FeatureShard
from winnow.features import FeatureMatrix, FeatureStore
from winnow.jobs import JobContext
from worker.base import Runtime, run_job
from worker.tasks import encode


def matrix(service: Service, project: int) -> FeatureMatrix:
    return FeatureStore(service.database, service.storage, service.settings).matrix(project)


def test_every_item_gets_its_row_and_a_second_run_adds_nothing(service: Service) -> None:
    project = service.make_project(600)
    assert set(service.work()) == {"succeeded"}
    first = matrix(service, project)
    assert first.covered == 600
    assert first.array.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(np.asarray(first.array, np.float32), axis=1), 1, atol=0.01)
    [job] = service.jobs("encode")
    assert job.result is not None
    assert (job.result["items"], job.result["encoded"], job.result["failed"]) == (600, 600, 0)
    assert job.result["encoder"]["name"] == "hashed"
    assert job.result["items_per_second"] > 0
    assert run_job(service.runtime(), "encode", job.id, encode.run) == "not waiting"

    service.add_rows(project, [{"text": f"more {i} of it"} for i in range(10)])
    assert set(service.work()) == {"succeeded"}
    second = matrix(service, project)
    assert second.covered == 610
    assert second.digest == first.digest
    np.testing.assert_array_equal(second.array[:600], first.array)


def test_an_empty_project_is_encoded_in_no_time(service: Service) -> None:
    project = service.make_project()
    with service.database.write() as session:
        jobs.request_encode(session, project)
    assert set(service.work()) == {"succeeded"}
    result = service.jobs("encode")[0].result
    assert result is not None
    assert (result["items"], result["encoder"]) == (0, None)


def test_encoding_goes_on_where_another_attempt_stopped(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "CHUNK", 50)
    project = service.make_project(500)
    asked: list[int] = []
    pause_point = JobContext.pause_point

    def interrupt(context: JobContext) -> None:
        asked.append(context.attempt)
        if len(asked) in (3, 5):
            raise jobs.Interrupted
        pause_point(context)

    monkeypatch.setattr(JobContext, "pause_point", interrupt)
    [job] = service.jobs("encode")
    outcomes = [run_job(service.runtime(), "encode", job.id, encode.run) for _ in range(3)]
    assert outcomes == ["interrupted", "interrupted", "succeeded"]
    with service.database.read() as session:
        shards = session.execute(select(FeatureShard.start, FeatureShard.stop).order_by(FeatureShard.start)).all()
    assert [tuple(shard) for shard in shards] == [(0, 100), (100, 150), (150, 500)]
    assert matrix(service, project).covered == 500
    result = service.jobs("encode")[0].result
    assert result is not None
    assert result["encoded"] == 500


def test_an_attempt_that_was_overtaken_adds_no_shard(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    project = service.make_project(40)
    [job] = service.jobs("encode")
    put_shard = FeatureStore.put_shard

    def overtaken(store: FeatureStore, array: features.Features, path: str) -> None:
        put_shard(store, array, path)
        with service.database.write() as session:
            jobs.release_worker(session, "elsewhere:1")
            assert jobs.claim(session, job.id, "elsewhere:2", service.settings) is not None

    monkeypatch.setattr(FeatureStore, "put_shard", overtaken)
    assert run_job(service.runtime(), "encode", job.id, encode.run) == "lost"
    assert matrix(service, project).covered == 0


def test_items_that_come_meanwhile_are_encoded_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    project = service.make_project(30)
    publish = encode._publish

    def add_more(runtime: Runtime, *arguments: object) -> None:
        monkeypatch.setattr(encode, "_publish", publish)
        publish(runtime, *arguments)  # type: ignore[arg-type]
        service.add_rows(project, [{"text": f"late {i}"} for i in range(7)])

    monkeypatch.setattr(encode, "_publish", add_more)
    assert set(service.work()) == {"succeeded"}
    assert len(service.jobs("encode")) == 1
    assert matrix(service, project).covered == 37


def test_features_of_the_user_are_kept_as_they_are(service: Service) -> None:
    project = service.make_project(task="features")
    given = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    service.add_rows(project, [{"features": row.tolist()} for row in given])
    assert set(service.work()) == {"succeeded"}
    found = matrix(service, project)
    assert found.array.dtype == np.float32
    np.testing.assert_array_equal(found.array, given)


def png(shade: int) -> str:
    from PIL import Image

    pixels = np.random.default_rng(shade).integers(0, 255, (12, 12), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_an_encoder_that_learned_from_little_learns_again_when_there_is_much_more(service: Service) -> None:
    project = service.make_project(task="image")
    service.add_rows(project, [{"image": png(i)} for i in range(20)])
    service.work()
    first = matrix(service, project)
    with service.database.read() as session:
        assert session.get_one(Encoder, project).details["fitted_on"] == 20
    service.add_rows(project, [{"image": png(i)} for i in range(100, 130)])
    service.work()
    assert matrix(service, project).digest == first.digest
    service.add_rows(project, [{"image": png(i)} for i in range(200, 250)])
    service.work()
    again = matrix(service, project)
    assert again.digest != first.digest
    assert again.covered == 100
    with service.database.read() as session:
        assert session.get_one(Encoder, project).details["fitted_on"] == 100
