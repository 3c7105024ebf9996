"""Whether the broker answers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from winnow.readiness import broker_check


def test_the_embedded_broker_needs_its_folder(tmp_path: Path) -> None:
    assert broker_check(f"sqla+sqlite:///{tmp_path}/broker.db")()
    assert not broker_check(f"sqla+sqlite:///{tmp_path}/none/broker.db")()


@pytest.mark.parametrize("scheme", ["redis", "amqp", "sqla+postgresql"])
def test_a_broker_elsewhere_has_to_listen(scheme: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"{scheme}://user:secret@127.0.0.1:{listening.getsockname()[1]}/0"
        assert not broker_check(url)()
        listening.listen()
        assert broker_check(url)()


def test_the_answer_is_remembered_for_a_while() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}"
        remembering, asking = broker_check(url, seconds=600), broker_check(url, seconds=-1)
        assert (remembering(), asking()) == (True, True)
    assert (remembering(), asking()) == (True, False)


def test_nonsense_is_not_reachable() -> None:
    assert not broker_check("redis://127.0.0.1:notaport")()
