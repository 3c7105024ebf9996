"""Messages are hints: sent twice, lost or late, they change nothing but the moment a job begins."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from amqp.exceptions import ChannelError

from tests.brokers.deployment import Deployment, wait_until
from winnow.hints import BULK_QUEUE, EXPIRE_SECONDS, MOST_QUEUED, TASK_NAMES, make_sender
from winnow.workers import node_name

pytestmark = pytest.mark.slow


def test_every_job_is_done_once_and_leaves_no_message(deployment: Deployment) -> None:
    ids = [deployment.ask(kind) for kind in ("import", "encode", "export", "round") * 2]
    assert {job.attempt for job in deployment.ended(*ids)} == {1}
    wait_until(lambda: deployment.messages() == 0, "all messages are taken")


def test_messages_that_come_twice_or_name_nothing_do_nothing(deployment: Deployment) -> None:
    job_id = deployment.ask("export")
    deployment.ended(job_id)
    send = make_sender(deployment.broker_url)
    for kind in TASK_NAMES:
        send(kind, job_id)
        send(kind, 99_999)
    deployment.idle(3)
    assert deployment.job(job_id).attempt == 1
    assert not any("Traceback" in worker.said() for worker in deployment.workers)


def test_work_is_found_without_a_message(deployment: Deployment) -> None:
    deployment.calm()
    deployment.ended(deployment.ask_quietly("export"))


def test_a_purged_broker_loses_no_work_and_many_waiting_jobs_no_more_than_a_message_each(
    deployment: Deployment,
) -> None:
    gate = deployment.gate()
    long = [deployment.ask("import", gate=str(gate)) for _ in range(3)]
    deployment.running(*long)
    deployment.remind(*long)
    waiting = [deployment.ask("export") for _ in range(10)]
    wait_until(lambda: deployment.messages() >= 10, "all messages lie at the broker, but one with each who is busy")
    lease = deployment.job(long[0]).lease_until
    wait_until(lambda: deployment.job(long[0]).lease_until != lease, "a heartbeat; the reaper has looked twice")
    assert deployment.messages() <= 16
    deployment.purge()
    gate.touch()
    deployment.ended(*long, *waiting)


def test_messages_and_queues_are_bounded_in_age_and_number(deployment: Deployment) -> None:
    gate = deployment.gate()
    long = [deployment.ask("import", gate=str(gate)) for _ in range(3)]
    deployment.running(*long)
    deployment.purge()
    waiting = deployment.ask("export")
    send = make_sender(deployment.broker_url)
    with deployment.queues() as queues:
        [bulk] = [queue for queue in queues if queue.name == BULK_QUEUE]
        got: list[Any] = []

        def lies_there() -> bool:
            send("export", waiting)  # again, for each who is busy may hold one
            got.append(bulk.get(no_ack=True))
            return got[-1] is not None and got[-1].headers["task"] == "export.run"

        wait_until(lies_there, "the message is there")
    message = got[-1]
    assert message.headers["expires"] is not None
    assert message.properties["delivery_mode"] == 1
    assert (bulk.durable, bulk.message_ttl, bulk.max_length) == (True, EXPIRE_SECONDS, MOST_QUEUED)
    gate.touch()
    deployment.ended(*long, waiting)


def test_workers_talk_of_nothing_but_work(deployment: Deployment) -> None:
    if deployment.kind == "redis":
        import redis

        with redis.Redis.from_url(deployment.broker_url) as client:
            assert client.pubsub_channels() == []
            found = {key.decode().replace("binding_permanent", "binding") for key in client.scan_iter()}
        assert found <= {"_kombu.binding.rounds", "_kombu.binding.bulk", "unacked", "unacked_index", "unacked_mutex"}
        return
    if deployment.kind == "embedded":
        with closing(sqlite3.connect(deployment.broker_url.partition(":///")[2])) as connection:
            assert connection.execute("SELECT queue FROM messages").fetchall() == []
        return
    for name in (f"winnow-{deployment.workers[0].process.pid}@{node_name()}.celery.pidbox", "celeryev"):
        with deployment.queues() as queues, pytest.raises(ChannelError):
            queues[0].channel.queue_declare(name, passive=True)
