"""Asking over HTTP: what is tried again and what is not, and what is never shown."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from bench.servers.llm import Asked, Fault, LlmServer
from winnow.llm_endpoints import LlmEndpoint
from worker.llm import client
from worker.llm.client import Answer, CallFailed, ChatClient

KEY = "sk_the_operators"
BODY = {
    "model": "m",
    "messages": [{"role": "system", "content": "A = spam\nB = ham"}, {"role": "user", "content": "hello"}],
}


def opinion(asked: Asked) -> dict[str, float]:
    return {"spam": 1.0}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    monkeypatch.setenv("LLM_KEY", KEY)
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.01)
    with LlmServer(opinion) as running:
        yield running


def ask(server: LlmServer | str, **options: Any) -> Answer:
    url = server if isinstance(server, str) else server.url
    made = LlmEndpoint(url=url, model="m", **{"api_key_env": "LLM_KEY", "timeout": 5, "retries": 2, **options})

    async def once() -> Answer:
        async with ChatClient(made, random.Random(0)) as opened:
            return await opened.complete(BODY, "q-0")

    return asyncio.run(once())


def refusal(server: LlmServer | str, **options: Any) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        ask(server, **options)
    assert KEY not in repr(raised.value)
    assert raised.value.__cause__ is None
    return raised.value


def test_an_answer_comes_with_the_key_sent_and_what_it_is_once_for_all(server: LlmServer) -> None:
    answer = ask(server)
    assert answer.payload["choices"][0]["message"]["content"] == "A"
    assert answer.unanswered == 0
    [headers] = server.headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Idempotency-Key"] == "q-0"
    assert headers["Accept-Encoding"] == "identity"


def test_without_a_key_none_is_sent(server: LlmServer) -> None:
    ask(server, api_key_env=None)
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_what_passes_is_tried_again_and_was_not_charged(server: LlmServer, status: int) -> None:
    server.faults.extend([Fault(status), Fault(status)])
    assert ask(server).unanswered == 0
    assert server.requests == 3


def test_it_is_tried_as_often_as_the_endpoint_says_and_no_more(server: LlmServer) -> None:
    server.faults.extend(Fault(503) for _ in range(9))
    failed = refusal(server)
    assert "answered 503" in failed.reason
    assert (server.requests, failed.for_good, failed.unanswered) == (3, False, 0)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_says_when_to_come_again_is_not_asked_before(server: LlmServer, form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1.3)
    server.faults.append(Fault(429, headers={"Retry-After": "0.3" if form == "seconds" else format_datetime(at)}))
    began = time.monotonic()
    ask(server)
    assert time.monotonic() - began >= 0.25
    assert server.requests == 2


@pytest.mark.parametrize("wait", ["3600", "nan", "inf"])
def test_a_server_that_asks_for_a_long_wait_is_left_alone(server: LlmServer, wait: str) -> None:
    server.faults.append(Fault(429, headers={"Retry-After": wait}))
    failed = refusal(server)
    assert failed.for_good
    assert "asks to wait for" in failed.reason


def test_a_quota_that_is_used_up_is_not_waited_for(server: LlmServer) -> None:
    server.faults.append(Fault(429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}'))
    failed = refusal(server)
    assert failed.for_good
    assert "429 (insufficient_quota)" in failed.reason
    assert server.requests == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [(400, "does not take what is asked"), (401, "the key was refused"), (403, "no right"), (404, "no such model")],
)
def test_what_will_not_pass_ends_the_asking_and_says_what_to_do(server: LlmServer, status: int, says: str) -> None:
    server.faults.append(Fault(status, f'{{"error": {{"message": "bad key {KEY}", "code": "{KEY}"}}}}'.encode()))
    failed = refusal(server)
    assert failed.for_good
    assert says in failed.reason
    assert server.requests == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(server: LlmServer, status: int) -> None:
    with LlmServer(opinion) as elsewhere:
        server.faults.append(Fault(status, headers={"Location": f"{elsewhere.url}/chat/completions"}))
        failed = refusal(server)
        assert elsewhere.requests == 0
    assert failed.for_good
    assert "not followed" in failed.reason


def test_proxies_of_the_environment_are_not_used(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with LlmServer(opinion) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        ask(server)
        assert proxy.requests == 0
    assert server.requests == 1


@pytest.mark.parametrize("content", [b"<html>", b"", b"\xff\xfe", b"[" * 100_000])
def test_garbage_is_one_failed_question_that_was_charged(server: LlmServer, content: bytes) -> None:
    server.faults.append(Fault(200, content))
    failed = refusal(server)
    assert "no JSON" in failed.reason
    assert (failed.unanswered, failed.for_good, server.requests) == (1, False, 1)


def test_a_huge_answer_is_not_read_to_its_end(server: LlmServer) -> None:
    server.faults.append(Fault(200, b" " * 1024, repeat=64 * 1024))
    failed = refusal(server)
    assert "longer than 1 MiB" in failed.reason


def test_a_compressed_answer_is_not_unpacked(server: LlmServer) -> None:
    server.faults.append(Fault(200, b"x", headers={"Content-Encoding": "gzip"}))
    assert "compresses" in refusal(server).reason


def test_a_slow_answer_is_given_up_and_may_have_been_charged(server: LlmServer) -> None:
    release = threading.Event()
    server.faults.extend([Fault(200, before=lambda: release.wait(5)), None])
    answer = ask(server, timeout=0.3)
    release.set()
    assert answer.unanswered == 1
    assert server.requests == 2


def test_an_answer_that_drips_does_not_outlast_the_time_that_one_may_take() -> None:
    """Each byte comes in time; the whole does not."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not over.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                break
        connection.close()

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    began = time.monotonic()
    failed = refusal(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", timeout=0.4, retries=0, api_key_env=None)
    assert time.monotonic() - began < 3
    assert "did not answer within 0.4 s" in failed.reason
    over.set()
    dripping.join()
    listening.close()


def test_a_server_that_is_not_there_was_not_charged(server: LlmServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failed = refusal(f"http://127.0.0.1:{port}/v1", retries=1)
    assert f"127.0.0.1:{port} cannot be reached" in failed.reason
    assert (failed.unanswered, failed.for_good) == (0, False)


@pytest.mark.parametrize(
    ("key", "says"),
    [("sk_schlüssel", "holds what cannot be a key"), ("sk_a\nb", "holds what cannot"), ("", "is not set")],
)
def test_a_key_that_cannot_be_sent_is_said_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str, says: str) -> None:
    monkeypatch.setenv("LLM_KEY", key)
    with pytest.raises(CallFailed) as raised:
        ask("http://127.0.0.1:9/v1", retries=0)
    assert f"the variable LLM_KEY {says}" in raised.value.reason
    assert key not in raised.value.reason or not key
