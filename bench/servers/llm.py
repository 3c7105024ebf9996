"""A server that speaks chat completions, for tests and benchmarks: what it thinks is a function's say."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_ITEM = re.compile(r"\[item (\w+)\]\n(.*)\n\[end of item \1\]", re.DOTALL)
_CLASS = re.compile(r"^(\w+) = ([^:\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """A question as the server understood it: the item's text, its classes by code, and the examples shown."""

    text: str
    classes: Mapping[str, str]
    examples: tuple[tuple[str, str], ...]
    body: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Asked:
        """From a request's body."""
        messages = body["messages"]
        texts = [_item(message["content"]) for message in messages if message["role"] == "user"]
        codes = [message["content"] for message in messages if message["role"] == "assistant"]
        classes = dict(_CLASS.findall(messages[0]["content"]))
        return cls(texts[-1], classes, tuple(zip(texts[:-1], codes, strict=True)), body)


#: Gives the probability of each class, by its name.
Opinion = Callable[[Asked], Mapping[str, float]]


@dataclass(frozen=True)
class Fault:
    """An answer that is none. ``before`` is called first, and may wait."""

    status: int = 500
    content: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    repeat: int = 1


class LlmServer:
    """Runs in this process while it is entered. ``faults`` are given out first, one a request; None is no fault.

    Attributes:
        asked: Every question that was answered, in order.
        requests: How many requests came, faults included.
        headers: Those of each request.
    """

    def __init__(
        self, opinion: Opinion, *, logprobs: bool = True, several: bool = True, usage: bool = True, path: str = "/v1"
    ) -> None:
        self.opinion = opinion
        self.logprobs = logprobs
        self.several = several
        self.usage = usage
        self.faults: deque[Fault | None] = deque()
        self.asked: list[Asked] = []
        self.headers: list[dict[str, str]] = []
        self.requests = 0
        self._path = path
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """What an endpoint names."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self._path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def texts(self) -> list[str]:
        """The texts that were asked about, in order."""
        return [asked.text for asked in self.asked]

    # --- answering -------------------------------------------------------------------------------------------------

    def _take(self, headers: dict[str, str]) -> Fault | None:
        with self._lock:
            self.requests += 1
            self.headers.append(headers)
            return self.faults.popleft() if self.faults else None

    def _answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        asked = Asked.of(body)
        with self._lock:
            self.asked.append(asked)
        thought = self.opinion(asked)
        shares = {code: float(thought.get(name, 0.0)) for code, name in asked.classes.items()}
        best = max(shares, key=lambda code: shares[code]) if any(shares.values()) else "I cannot say."
        choices = [self._choice(best, shares, body) for _ in range(body.get("n", 1) if self.several else 1)]
        answer: dict[str, Any] = {"object": "chat.completion", "model": body["model"], "choices": choices}
        if self.usage:
            sent = sum(len(message["content"]) for message in body["messages"]) // 4
            answer["usage"] = {"prompt_tokens": sent, "completion_tokens": len(choices)}
        return answer

    def _choice(self, best: str, shares: Mapping[str, float], body: Mapping[str, Any]) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": best}, "logprobs": None}
        if self.logprobs and body.get("logprobs") and best in shares:
            likely = sorted((code for code in shares if shares[code] > 0), key=lambda code: -shares[code])
            top = [{"token": code, "logprob": math.log(shares[code])} for code in likely]
            first = {"token": best, "logprob": math.log(shares[best]), "top_logprobs": top}
            choice["logprobs"] = {"content": [first]}
        return choice

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 — ``self`` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fault = server._take(dict(self.headers))
                if fault is not None:
                    fault.before()
                    self._send(fault.status, fault.content * fault.repeat, fault.headers)
                elif self.path != f"{server._path}/chat/completions":
                    self._send(404, b'{"error": {"code": "not_found"}}', {})
                else:
                    self._send(200, json.dumps(server._answer(json.loads(body))).encode(), {})

            def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except ConnectionError:  # who asked has gone
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        return Handler


def _item(content: str) -> str:
    found = _ITEM.search(content)
    return found.group(2) if found else content
