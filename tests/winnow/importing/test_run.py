"""The import job: one result however often it is interrupted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from tests.winnow.pools import Pool, word
from winnow import jobs
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.errors import Invalid, LostJob
from winnow.importing import run as run_module
from winnow.importing.run import run_import
from winnow.jobs import Interrupted, JobContext
from winnow.settings import Settings
from winnow.storage import Storage


@pytest.fixture
def pool(database: Database, settings: Settings) -> Pool:
    return Pool.make(database, settings)


class Importer:
    def __init__(self, pool: Pool, storage: Storage) -> None:
        self.pool, self.storage = pool, storage

    def ask(self, data: bytes, filename: str = "in.jsonl", **options: Any) -> int:
        path = "projects/1/imports/x"
        self.storage.put_bytes(data, path)
        with self.pool.database.write() as session:
            payload = {"path": path, "filename": filename, "labels": "use", "on_duplicate": "skip", **options}
            return jobs.create_job(session, "import", self.pool.project_id, payload).id

    def attempt(self, job_id: int) -> JobContext:
        with self.pool.database.write() as session:
            job = jobs.claim(session, job_id, "test", self.pool.settings)
            assert job is not None
            return JobContext(self.pool.database, job, self.pool.settings)

    def run(self, context: JobContext) -> None:
        run_import(self.pool.database, self.storage, self.pool.settings, context)

    def job(self, job_id: int) -> Job:
        with self.pool.database.read() as session:
            return session.get_one(Job, job_id)


@pytest.fixture
def importer(pool: Pool, storage: Storage) -> Importer:
    return Importer(pool, storage)


def lines(n: int) -> bytes:
    return b"".join(json.dumps({"text": f"{word(i)} {i}", "key": f"k{i}"}).encode() + b"\n" for i in range(n))


def test_an_import_ends_with_its_counts_and_asks_for_encoding(importer: Importer) -> None:
    data = lines(3) + b"broken\n" + lines(2) + b'{"text": "x", "label": "eggs"}\n{"text": "y", "label": "ham"}\n'
    job_id = importer.ask(data)
    importer.run(importer.attempt(job_id))
    job = importer.job(job_id)
    assert (job.state, job.progress) == ("succeeded", 1.0)
    assert job.result is not None
    assert {name: job.result[name] for name in ("created", "duplicates", "rejected")} == {
        "created": 4,
        "duplicates": 2,
        "rejected": 2,
    }
    assert [error["line"] for error in job.result["errors"]] == [4, 7]
    with importer.pool.database.read() as session:
        assert [job.kind for job in session.scalars(select(Job).where(Job.state == "queued"))] == ["encode"]


def test_killed_after_any_transaction_it_goes_on_and_adds_each_row_once(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_FIRST_ROWS", 10)
    monkeypatch.setattr(run_module, "_MOST_ROWS", 10)
    job_id = importer.ask(lines(95) + b"broken\n")
    attempts = 0
    while importer.job(job_id).state != "succeeded":
        attempts += 1
        context = importer.attempt(job_id)

        def interrupt() -> None:
            raise Interrupted("stopped")

        context.pause_point = interrupt  # type: ignore[method-assign]
        try:
            importer.run(context)
        except Interrupted:
            with importer.pool.database.write() as session:
                jobs.release(session, job_id, context.attempt, "stopped")
    result = importer.job(job_id).result
    assert result is not None
    assert (result["created"], result["duplicates"], result["rejected"]) == (95, 0, 1)
    assert attempts == 10
    assert len(importer.pool.items()) == 95


def test_an_attempt_that_was_overtaken_publishes_nothing(importer: Importer) -> None:
    job_id = importer.ask(lines(30))
    old = importer.attempt(job_id)
    with importer.pool.database.write() as session:
        jobs.release(session, job_id, old.attempt, "died")
    new = importer.attempt(job_id)
    with pytest.raises(LostJob):
        importer.run(old)
    assert importer.pool.items() == []
    importer.run(new)
    assert len(importer.pool.items()) == 30


@pytest.mark.parametrize(
    ("data", "filename", "says"),
    [
        (b"", "in.csv", "empty"),
        (b"", "in.jsonl", "empty"),
        (b"\n\n", "in.jsonl", "no rows"),
        (b"text\n", "in.csv", "no rows"),
        (b"a,b\n1,2\n", "in.csv", "No column is named text"),
        (b"PK broken", "in.zip", "of the task text"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_nothing_behind(
    importer: Importer, data: bytes, filename: str, says: str
) -> None:
    context = importer.attempt(importer.ask(data, filename))
    with pytest.raises(Invalid, match=says):
        importer.run(context)
    assert importer.pool.items() == []
    with pytest.raises(Invalid, match=says):  # an attempt that follows one which died has the same to say
        importer.run(context)


def test_the_options_of_the_upload_are_heeded(importer: Importer) -> None:
    data = b"body,label\nhello,eggs\n"
    job_id = importer.ask(data, "x", format="csv", mapping={"text": "body"}, labels="ignore")
    importer.run(importer.attempt(job_id))
    assert [item.text for item in importer.pool.items()] == ["hello"]
    assert importer.pool.labels() == []


def test_only_the_first_thousand_errors_are_named(importer: Importer) -> None:
    job_id = importer.ask(b"broken\n" * 1500 + lines(1))
    importer.run(importer.attempt(job_id))
    result = importer.job(job_id).result
    assert result is not None
    assert (result["created"], result["rejected"], len(result["errors"])) == (1, 1500, 1000)
