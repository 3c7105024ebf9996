"""Whether the broker answers."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.conftest import GivenServer
from winnow.readiness import broker_check, storage_check


def test_the_embedded_broker_needs_its_folder(tmp_path: Path) -> None:
    assert broker_check(f"sqla+sqlite:///{tmp_path}/broker.db")()
    assert not broker_check(f"sqla+sqlite:///{tmp_path}/none/broker.db")()


def test_a_table_of_messages_elsewhere_has_to_listen() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"sqla+postgresql://user:secret@127.0.0.1:{listening.getsockname()[1]}/0"
        assert not broker_check(url)()
        listening.listen()
        assert broker_check(url)()


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_listens_and_says_nothing_does_not_answer(scheme: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"{scheme}://user:secret@127.0.0.1:{listening.getsockname()[1]}/0"
        assert not broker_check(url)()
        listening.listen()
        assert not broker_check(url, patience=0.1)()


def test_brokers_answer_who_can_sign_in(redis_server: GivenServer, rabbitmq_server: GivenServer) -> None:
    for server in (redis_server, rabbitmq_server):
        assert broker_check(server.url)()
        scheme, _, rest = server.url.partition("://")
        assert not broker_check(f"{scheme}://nobody:wrong@{rest.rpartition('@')[2]}")()


def test_the_answer_is_remembered_for_a_while() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"sqla+postgresql://127.0.0.1:{listening.getsockname()[1]}/0"
        remembering, asking = broker_check(url, seconds=600), broker_check(url, seconds=-1)
        assert (remembering(), asking()) == (True, True)
    assert (remembering(), asking()) == (True, False)


def test_nonsense_is_not_reachable() -> None:
    assert not broker_check("redis://127.0.0.1:notaport")()


def test_a_storage_that_fails_or_says_nothing_is_not_reachable() -> None:
    def fail() -> None:
        raise ConnectionRefusedError

    assert storage_check(lambda: None)()
    assert not storage_check(fail)()
    answered = threading.Event()
    silent = storage_check(lambda: answered.wait(60), patience=0.01)
    assert not silent()
    assert not silent()  # which asks nobody again
    answered.set()


def test_what_the_storage_answered_is_remembered_for_a_while() -> None:
    asked = []
    remembering, asking = (storage_check(lambda: asked.append(1), seconds=seconds) for seconds in (600, -1))
    assert [remembering(), remembering()] == [True, True]
    assert len(asked) == 1
    assert [asking(), asking()] == [True, True]
    assert len(asked) == 3
