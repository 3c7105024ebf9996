"""kill -9 of a real worker while it fine-tunes an encoder: the next one goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from tests.models.tiny_hub_models import tiny_bert
from tests.worker.service import HAM, SPAM, Service
from tests.worker.test_kills import CODE, Worker, ask_for_a_round, ended, job_of, loaded, wait_until, worker
from winnow.db.tables import Project, Round, Student

__all__ = ["loaded", "worker"]  # fixtures
pytestmark = [
    pytest.mark.kill,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True),
]

#: A worker that stands still in the middle of the second epoch of fine-tuning, where it is then killed.
CODE_THAT_STANDS_STILL = f"""
import os, signal
from worker.round_checkpoints import StoredCheckpoints
progress, seen = StoredCheckpoints.progress, []
def watched(checkpoints, fraction, message):
    progress(checkpoints, fraction, message)
    seen.extend([message] if "epoch 2 of" in message else [])
    if len(seen) == 3:  # the first is said at the end of the first epoch, once it was saved
        os.kill(os.getpid(), signal.SIGSTOP)
StoredCheckpoints.progress = watched
{CODE}"""
LABELS, HELD_OUT, BATCH, EPOCHS = 80, 20, 16, 6
STEPS_AN_EPOCH = -(-(LABELS - HELD_OUT) // BATCH)


#: Deadlines, not waits: two workers load torch and transformers here, on a machine that may be busy.
SECONDS = 240


@pytest.fixture
def project(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """One whose teacher is a tiny encoder that is fine-tuned; workers find it registered."""
    tiny = tiny_bert(tmp_path / "tiny", words=["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SPAM, *HAM])
    monkeypatch.setenv("WINNOW_HF_ENCODERS", json.dumps({"tiny": str(tiny)}))
    made = service.make_project(150, holdout=False, batch_size=1000)
    with service.database.write() as session:
        row = session.get_one(Project, made)
        row.settings = {**row.settings, "encoder": "hf:tiny", "teacher": "finetuned-bias", "student": "hashed"}
    return made


def test_the_next_worker_goes_on_from_the_last_epoch_though_people_labelled_meanwhile(
    service: Service, worker: Worker, project: int
) -> None:
    assert service.label(project, LABELS) == LABELS
    job_id = ask_for_a_round(service, project)
    worker.start(CODE_THAT_STANDS_STILL)
    wait_until(lambda: any(_stands_still(child) for child in worker.children()), "the second epoch", SECONDS)
    checkpoint = job_of(service, job_id).checkpoint
    assert checkpoint is not None
    assert set(checkpoint["steps"]) == {"teacher", "finetuning"}
    worker.kill()
    meanwhile = service.label(project, 7)
    worker.start()
    wait_until(lambda: ended(service, job_id), "the round", SECONDS)

    job = job_of(service, job_id)
    assert (job.state, job.deaths, job.attempt) == ("succeeded", 1, 2), job.error
    with service.database.read() as session:
        [trained] = session.scalars(select(Round).where(Round.project_id == project))
        [student] = session.scalars(select(Student).where(Student.project_id == project))
    made: dict[str, Any] = trained.metrics["finetuned"]
    assert made["fresh"]
    assert made["went_on_at"] == [STEPS_AN_EPOCH], "at the end of the first epoch, and not at the beginning"
    assert made["steps"] == made["epochs"] * STEPS_AN_EPOCH
    assert len(made["validation_losses"]) == made["epochs"] + 1
    assert (trained.labels, student.version, student.labels) == (LABELS, 1, LABELS)
    assert service.standing(project) == LABELS + meanwhile
    assert trained.cutoff < trained.cutoff + meanwhile == _newest_label(service, project)
    assert service.project(project).round_labels == LABELS, "those that came meanwhile count towards the next round"


def _stands_still(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _newest_label(service: Service, project: int) -> int:
    from winnow.labels import standing_for_training

    with service.database.read() as session:
        return standing_for_training(session, project).cutoff
