"""Several workers, each with a folder of its own: who gets what, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers.deployment import Deployment, wait_until

pytestmark = pytest.mark.slow


def test_a_worker_that_finds_both_takes_the_round_first(deployment: Deployment) -> None:
    *bulk, round_id = deployment.asked
    began = [job.started_at for job in deployment.ended(*bulk)]
    [first] = deployment.ended(round_id)
    assert first.started_at is not None
    assert sum(at is not None and at < first.started_at for at in began) <= 2, "three processes began at once"


def test_work_goes_to_whoever_is_idle(deployment: Deployment) -> None:
    gate = deployment.gate()
    long = [deployment.ask("import", gate=str(gate)) for _ in range(2)]
    deployment.running(*long)
    busy = {deployment.process_of(job_id) for job_id in long}
    for _ in range(6):
        [job] = deployment.ended(deployment.ask("export"))
        assert job.result is not None
        assert job.result["process"] not in busy
    assert [deployment.job(job_id).attempt for job_id in long] == [1, 1], "nobody had to make way"
    deployment.ended(deployment.ask("round"))
    gate.touch()
    deployment.ended(*long)


def test_long_jobs_spread_over_all_workers_and_processes(deployment: Deployment) -> None:
    gate = deployment.gate()
    ids = [deployment.ask("import", gate=str(gate)) for _ in range(3)]
    deployment.running(*ids)
    assert len({deployment.job(job_id).worker for job_id in ids}) == 3
    assert {deployment.worker_of(job_id) for job_id in ids} == set(deployment.alive())
    gate.touch()
    deployment.ended(*ids)


def test_bulk_work_makes_way_for_a_round_when_all_are_busy(deployment: Deployment) -> None:
    gate = deployment.gate()
    long = [deployment.ask("import", gate=str(gate)) for _ in range(3)]
    deployment.running(*long)
    waiting = [deployment.ask("export", gate=str(gate)) for _ in range(5)]
    round_id = deployment.ask("round")
    deployment.ended(round_id)
    gate.touch()
    done = deployment.ended(*long, *waiting)
    assert all(job.deaths == 0 for job in done)


def test_what_a_killed_worker_held_is_done_by_another(deployment: Deployment) -> None:
    gate = deployment.gate()
    job_id = deployment.ask("import", gate=str(gate))
    deployment.running(job_id)
    deployment.worker_of(job_id).kill()
    [other] = deployment.alive()
    wait_until(lambda: deployment.job(job_id).attempt == 2, "the other has it")
    assert deployment.worker_of(job_id) is other
    gate.touch()
    deployment.ended(job_id)


def test_a_worker_that_stops_gives_its_job_to_another_at_once(deployment: Deployment) -> None:
    gate = deployment.gate()
    job_id = deployment.ask("import", gate=str(gate))
    deployment.running(job_id)
    code, seconds = deployment.worker_of(job_id).terminate()
    assert code == 0
    assert seconds < 10
    wait_until(lambda: deployment.job(job_id).attempt == 2, "the other has it")
    assert deployment.job(job_id).deaths == 0
    gate.touch()
    deployment.ended(job_id)


def test_a_job_that_pauses_slowly_is_waited_for_when_its_worker_stops_although_no_message_began_it(
    deployment: Deployment,
) -> None:
    deployment.calm()
    gate = deployment.gate()
    job_id = deployment.ask_quietly("import", gate=str(gate), look=3.5)
    wait_until(Path(f"{gate}.seen").exists, "it looked, and looks again in 3.5 s: until then it does not pause")
    worker = deployment.worker_of(job_id)
    before = worker.said().count("outcome=interrupted")
    code, seconds = worker.terminate()
    assert code == 0
    assert seconds < 5
    assert worker.said().count("outcome=interrupted") == before + 1, worker.said()
    gate.touch()
    [job] = deployment.ended(job_id)
    assert job.deaths == 0


def test_what_does_not_pause_is_killed_after_five_seconds_and_given_back(deployment: Deployment) -> None:
    gate = deployment.gate()
    job_id = deployment.ask("import", gate=str(gate), look=60)
    wait_until(Path(f"{gate}.seen").exists, "it waits at the gate")
    worker = deployment.worker_of(job_id)
    gate.touch()
    code, seconds = worker.terminate()
    assert code == 0
    assert 5 <= seconds < 10
    [job] = deployment.ended(job_id)
    assert (job.attempt, job.deaths) == (2, 0)
