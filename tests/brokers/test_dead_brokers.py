"""A broker that dies, hangs or is not there yet: work goes on, and nobody has to be started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.servers.process import PrivateServer
from tests.brokers.deployment import Deployment, wait_until
from winnow.broker_connection import PATIENCE_SECONDS
from winnow.hints import MOST_WAITING, make_sender
from winnow.readiness import broker_check

pytestmark = [pytest.mark.slow, pytest.mark.kill]


@contextmanager
def hanging(server: PrivateServer) -> Iterator[None]:
    """All processes of the server stand still: connections are accepted, and nothing answers."""
    stopped = server.processes()
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


def test_a_running_job_survives_its_broker_and_others_begin_without_it(
    mortal: Deployment, mortal_server: PrivateServer
) -> None:
    worker = mortal.start(concurrency=2)
    mortal.idle(2)
    gate = mortal.gate()
    long = mortal.ask("import", gate=str(gate))
    mortal.running(long)
    mortal_server.kill()
    while_dead = [mortal.ask("export"), mortal.ask("export")]
    mortal.ended(*while_dead)
    gate.touch()
    [job] = mortal.ended(long)
    assert (job.attempt, job.deaths) == (1, 0)

    mortal_server.start()
    wait_until(lambda: consumers(mortal) == 2, "the worker is back at its broker")
    back = mortal.ask("export")
    mortal.ended(back)
    wait_until(lambda: mortal.messages() == 0, "it takes messages again")
    assert worker.process.poll() is None
    assert worker.terminate()[0] == 0


def consumers(deployment: Deployment) -> int:
    """How many consumers wait for messages: two for a worker. On Redis, a connection that waits stands for them."""
    if deployment.kind == "redis":
        import redis

        with redis.Redis.from_url(deployment.broker_url) as client:
            return 2 * any(str(found["cmd"]) == "brpop" for found in client.client_list())
    with deployment.queues() as queues:
        return sum(queue.queue_declare().consumer_count for queue in queues)


def test_a_worker_that_starts_before_its_broker_works_and_connects_later(
    mortal: Deployment, mortal_server: PrivateServer
) -> None:
    send = make_sender(mortal.broker_url)
    send("export", 1)
    wait_until(lambda: mortal.messages() == 1, "a message is sent")
    mortal_server.kill()
    early = mortal.start()
    began = time.process_time()
    for job_id in range(20_000):
        send("export", job_id)
    assert time.process_time() - began < 10
    assert len(send._waiting) <= MOST_WAITING  # type: ignore[attr-defined]
    mortal.ended(mortal.ask("export"))
    wait_until(lambda: "broker.away" in early.said(), "it says what is missing")
    assert "guest:guest" not in early.said()

    blind = [mortal.start(WINNOW_REAPER_SECONDS="600") for _ in range(2)]
    wait_until(lambda: all("broker.away" in worker.said() for worker in blind), "two that see no work without messages")
    assert early.terminate()[0] == 0
    mortal_server.start()
    wait_until(lambda: all("broker.reached" in worker.said() for worker in blind), "they connect")
    mortal.idle(2)
    gate = mortal.gate()
    long = mortal.ask("import", gate=str(gate))
    mortal.running(long)
    for _ in range(4):  # no message lies with the one that is busy
        mortal.calm(mortal.process_of(long))
        mortal.ended(mortal.ask("export"))
    gate.touch()
    mortal.ended(long)
    assert [worker.terminate()[0] for worker in blind] == [0, 0]

    def arrives() -> bool:
        send("round", 7)
        return mortal.messages() > 0

    wait_until(arrives, "it is sent again, by itself")


def test_a_hanging_broker_stops_neither_work_nor_the_end(mortal: Deployment, mortal_server: PrivateServer) -> None:
    worker = mortal.start()
    mortal.idle(1)
    answers = broker_check(mortal.broker_url, seconds=-1)
    assert answers()
    with hanging(mortal_server):
        began = time.monotonic()
        job_id = mortal.ask("export")
        assert time.monotonic() - began < PATIENCE_SECONDS, "a request does not wait for a broker"
        mortal.ended(job_id)
        assert not answers()
        long = mortal.ask("import", gate=str(mortal.gate()), look=2.5)
        mortal.running(long)
        code, seconds = worker.terminate()
        assert code == 0
        assert seconds < 5
        given_back = mortal.job(long)
        assert (given_back.state, given_back.lease_until, given_back.deaths) == ("running", None, 0)
    assert answers()


def test_a_broker_that_refuses_the_password_is_said_plainly(mortal: Deployment) -> None:
    scheme, _, rest = mortal.broker_url.partition("://")
    wrong = f"{scheme}://guest:s3cret%2F@{rest.rpartition('@')[2]}"
    if scheme == "redis":
        import redis

        with redis.Redis.from_url(mortal.broker_url) as client:
            client.config_set("requirepass", "another")
    try:
        assert not broker_check(wrong)()
        worker = mortal.start(WINNOW_BROKER_URL=wrong)
        job_id = mortal.ask("export")
        mortal.ended(job_id)
        wait_until(lambda: "broker.away" in worker.said(), "it says what is wrong")
        assert "s3cret" not in worker.said()
        assert worker.terminate()[0] == 0
    finally:
        if scheme == "redis":
            with redis.Redis.from_url(mortal.broker_url, password="another") as client:
                client.config_set("requirepass", "")
