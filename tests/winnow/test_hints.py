"""Hints over the embedded broker."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from winnow.hints import make_app, make_sender
from winnow.settings import Settings


@pytest.fixture
def received(settings: Settings) -> Iterator[Any]:
    """``received(n)`` waits for ``n`` messages and gives them as (task, arguments)."""
    app = make_app(settings.resolved_broker_url)
    got: list[tuple[str, list[Any]]] = []

    def on_message(body: Any, message: Any) -> None:
        got.append((message.headers["task"], body[0]))
        message.ack()

    with app.connection_for_read() as connection:
        consumer = connection.Consumer(list(app.amqp.queues.values()), callbacks=[on_message], accept=["json"])
        with consumer:

            def wait(n: int, seconds: float = 20) -> list[tuple[str, list[Any]]]:
                deadline = time.monotonic() + seconds
                while len(got) < n and time.monotonic() < deadline:
                    try:
                        connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue
                return got

            yield wait


def rows_left(settings: Settings) -> int:
    with closing(sqlite3.connect(settings.data / "broker.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])


def test_each_kind_arrives_under_its_task_name_and_leaves_no_row(settings: Settings, received: Any) -> None:
    send = make_sender(settings.resolved_broker_url)
    for job_id, kind in enumerate(("round", "import", "encode", "export"), 1):
        send(kind, job_id)
    assert sorted(received(4)) == [("encode.run", [3]), ("export.run", [4]), ("import.run", [2]), ("round.run", [1])]
    assert rows_left(settings) == 0


def test_messages_wait_for_a_worker_and_none_is_missed(settings: Settings, received: Any) -> None:
    send = make_sender(settings.resolved_broker_url)
    for job_id in range(60):  # some arrive while it looks, some between two looks
        send("import", job_id)
        if job_id % 20 == 0:
            received(job_id // 2, seconds=0.3)
    assert sorted(arguments[0] for _, arguments in received(60)) == list(range(60))


def test_a_broker_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        send = make_sender(f"amqp://127.0.0.1:{bound.getsockname()[1]}//")
        started = time.process_time()
        for job_id in range(100):
            send("round", job_id)
        assert time.process_time() - started < 5
    send("purge", 1)  # no task of that name: nothing to say


def test_a_sender_works_on_in_a_forked_process(settings: Settings, received: Any) -> None:
    send = make_sender(settings.resolved_broker_url)
    send("import", 1)
    assert received(1) == [("import.run", [1])]
    pid = os.fork()
    if pid == 0:
        try:
            send("import", 2)
            deadline = time.monotonic() + 20
            while not rows_left(settings) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            os._exit(0)
    assert received(2)[1:] == [("import.run", [2])]
    os.kill(pid, 9)
    os.waitpid(pid, 0)
