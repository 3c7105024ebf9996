"""The client against a small server that answers as the contract says, or badly."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import Client, Job, JobFailed, JobTimeout, ProblemError, Unreachable

Answer = tuple[int, Any]


class Script:
    """What the server will answer, call by call, and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def service(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            length = self.headers.get("content-length")
            body = self.rfile.read(int(length)) if length else b""
            script.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = script.answers.pop(0)
            if answer is None:  # the line breaks after the request has arrived
                self.close_connection = True
                return
            status, content = answer
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = respond  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def client(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("client.transport._FIRST_PAUSE", 0.001)
    with Client(service, "wn_token") as made:
        yield made


def test_a_call_bears_the_token_and_reads_what_it_knows(client: Client, script: Script) -> None:
    script.answers = [(200, {"id": "3", "name": "mail", "task": "text", "labels": [{"name": "a"}], "new_field": 1})]
    project = client.project("3")
    assert (project.id, project.class_names, project.settings) == ("3", ["a"], {})
    method, path, headers, _ = script.asked[0]
    assert (method, path, headers["authorization"]) == ("GET", "/v1/projects/3", "Bearer wn_token")


def test_a_problem_carries_its_status_title_detail_and_fields(client: Client, script: Script) -> None:
    problem = {
        "type": "urn:x", "title": "Invalid input", "status": 422, "detail": "name: is empty",
        "errors": [{"loc": ["body", "name"], "msg": "is empty"}, {"loc": ["body", "task"], "msg": "is unknown"}],
    }  # fmt: skip
    script.answers = [(422, problem)]
    with pytest.raises(ProblemError) as refused:
        client.create_project("", "x", [])
    error = refused.value
    assert (error.status, error.title, error.detail, error.type) == (422, "Invalid input", "name: is empty", "urn:x")
    assert error.errors[0] == {"loc": ["body", "name"], "msg": "is empty"}
    assert error.sentence == "name: is empty task: is unknown"


def test_an_error_that_is_no_problem_document_is_one_all_the_same(client: Client, script: Script) -> None:
    script.answers = [(500, b"<html>oops</html>")]
    with pytest.raises(ProblemError) as refused:
        client.stats("1")
    assert (refused.value.status, refused.value.title) == (500, "Internal Server Error")


def test_reading_is_repeated_when_the_line_breaks_or_the_server_is_busy(client: Client, script: Script) -> None:
    script.answers = [None, (503, {}), (200, {"items": 5})]
    assert client.stats("1") == {"items": 5}
    assert len(script.asked) == 3


def test_what_would_act_twice_is_not_repeated(client: Client, script: Script) -> None:
    script.answers = [None]
    with pytest.raises(Unreachable):
        client.start_round("1")
    script.answers = [(503, {"title": "Not available"})]
    with pytest.raises(ProblemError):
        client.create_token("x")
    assert len(script.asked) == 2


def test_labels_are_repeated_under_the_same_request_ids(client: Client, script: Script) -> None:
    script.answers = [None, (201, {"accepted": [{"item": "7", "id": "1"}], "rejected": []})]
    answer = client.send_labels("1", [{"item": "7", "label": "a"}, {"item": "8", "skip": True, "request_id": "mine"}])
    first, second = (json.loads(body)["labels"] for _, _, _, body in script.asked)
    assert first == second
    assert first[0]["request_id"] != ""
    assert first[1]["request_id"] == "mine"
    assert answer.accepted == [{"item": "7", "id": "1"}]


def test_nobody_there_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.transport._FIRST_PAUSE", 0.001)
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9"):
        client.me()


def test_lists_are_read_page_after_page(client: Client, script: Script) -> None:
    row = {"id": "1", "name": "a", "task": "text"}
    script.answers = [(200, {"data": [row], "next": "c1"}), (200, {"data": [{**row, "id": "2"}], "next": None})]
    assert [project.id for project in client.iter_projects()] == ["1", "2"]
    assert script.asked[1][1] == "/v1/projects?cursor=c1"


def test_a_file_is_uploaded_as_multipart_with_what_is_said_about_it(
    client: Client, script: Script, tmp_path: Path
) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(b"text\nhello\n")
    script.answers = [(202, {"id": "5", "kind": "import", "state": "queued"})]
    job = client.import_file("1", file, mapping={"text": "text"}, labels="ignore")
    _, path, headers, body = script.asked[0]
    assert (job.id, path) == ("5", "/v1/projects/1/imports")
    assert headers["content-type"].startswith("multipart/form-data")
    assert b'filename="data.csv"' in body
    assert b"text\nhello\n" in body
    assert b'{"text": "text"}' in body


class Pieces(io.RawIOBase):
    """A long file that notes how much is asked of it at once and is never whole in memory."""

    def __init__(self, size: int):
        self.left = self.size = size
        self.largest = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.left = self.size - (offset if whence == 0 else self.size + offset)
        return self.size - self.left

    def tell(self) -> int:
        return self.size - self.left

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "the whole file was asked for at once"
        self.largest = max(self.largest, size)
        piece = min(size, self.left)
        self.left -= piece
        return b"x" * piece


def test_an_upload_reads_its_file_in_pieces(client: Client, script: Script) -> None:
    script.answers = [(202, {"id": "5", "kind": "import", "state": "queued"})]
    file = Pieces(3_000_000)
    client.import_file("1", file, filename="long.csv")  # type: ignore[arg-type]
    assert script.asked[0][3].count(b"x") >= 3_000_000
    assert file.largest <= 1 << 20


def test_a_download_is_written_in_pieces_and_told(client: Client, script: Script) -> None:
    script.answers = [(200, b"z" * 1_000_000)]
    out, told = io.BytesIO(), []
    written = client.download("/v1/x.zip", out, on_progress=lambda done, total: told.append((done, total)))
    assert (written, out.getvalue()) == (1_000_000, b"z" * 1_000_000)
    assert told[-1] == (1_000_000, 1_000_000)
    assert len(told) > 1


def test_the_token_goes_to_the_service_only(client: Client) -> None:
    for address in ("http://evil.example/x", "//evil.example/x"):
        with pytest.raises(ValueError, match="not a path"):
            client.download(address, io.BytesIO())


def test_labels_stream_as_rows(client: Client, script: Script) -> None:
    script.answers = [(200, b'{"id": "1"}\n{"id": "2"}\n')]
    assert [row["id"] for row in client.iter_labels("1", all=True)] == ["1", "2"]
    assert script.asked[0][1] == "/v1/projects/1/labels?format=jsonl&all=true"


def test_a_refused_stream_is_a_problem(client: Client, script: Script) -> None:
    script.answers = [(404, {"title": "Not found", "detail": "There is no such project."})]
    with pytest.raises(ProblemError, match="no such project"):
        list(client.iter_labels("1"))


def job(state: str, **more: Any) -> Answer:
    return 200, {"id": "9", "kind": "round", "state": state, **more}


def test_waiting_tells_each_change_and_gives_the_job(client: Client, script: Script) -> None:
    script.answers = [job("queued"), job("queued"), job("running", progress=0.5), job("succeeded", result={"round": 1})]
    seen: list[str] = []
    done = client.wait_job("9", on_progress=lambda now: seen.append(now.state), poll=0.001)
    assert (done.result, seen) == ({"round": 1}, ["queued", "running", "succeeded"])


@pytest.mark.parametrize("state", ["failed", "canceled"])
def test_a_job_that_did_not_succeed_is_an_error_with_its_reason(client: Client, script: Script, state: str) -> None:
    script.answers = [job(state, error={"detail": "the disk is full"})]
    with pytest.raises(JobFailed, match=f"{state}: the disk is full") as failed:
        client.wait_job(Job("9", "round", "queued"))
    assert failed.value.job.state == state


def test_waiting_ends_in_time(client: Client, script: Script) -> None:
    script.answers = [job("running")] * 5
    with pytest.raises(JobTimeout):
        client.wait_job("9", timeout=0.0, poll=0.001)


CALLS: list[tuple[str, str, Callable[[Client], object]]] = [
    ("POST", "/v1/auth/token", lambda c: c.sign_in("a@b.c", "p")),
    ("GET", "/v1/me", lambda c: c.me()),
    ("GET", "/v1/strategies", lambda c: c.strategies()),
    ("GET", "/v1/teachers", lambda c: c.teachers()),
    ("GET", "/v1/student-families", lambda c: c.student_families()),
    ("DELETE", "/v1/tokens/4", lambda c: c.delete_token(4)),
    ("PATCH", "/v1/projects/1", lambda c: c.update_project(1, name="x")),
    ("DELETE", "/v1/projects/1?confirm=a+b&purge=true", lambda c: c.delete_project(1, confirm="a b", purge=True)),
    ("POST", "/v1/projects/1/members", lambda c: c.add_member(1, "a@b.c", "viewer")),
    ("DELETE", "/v1/projects/1/members/2", lambda c: c.remove_member(1, 2)),
    ("POST", "/v1/projects/1/batches", lambda c: c.batch(1, 5)),
    ("DELETE", "/v1/projects/1/labels/8", lambda c: c.undo_label(1, 8)),
    ("POST", "/v1/projects/1/leases/8/renew", lambda c: c.renew_lease(1, 8)),
    ("DELETE", "/v1/projects/1/leases/8", lambda c: c.release_lease(1, 8)),
    ("GET", "/v1/projects/1/rounds/2", lambda c: c.round(1, 2)),
    ("GET", "/v1/projects/1/students/current", lambda c: c.student(1)),
    ("POST", "/v1/projects/1/students/2/promote", lambda c: c.promote_student(1, 2)),
    ("POST", "/v1/projects/1/students/current/exports", lambda c: c.export_student(1)),
    ("POST", "/v1/projects/1/predictions", lambda c: c.predict(1, [{"text": "x"}])),
    ("POST", "/v1/projects/1/items?labels=ignore", lambda c: c.add_items(1, [{"text": "x"}], labels="ignore")),
    ("GET", "/v1/projects/..%2Fme/stats", lambda c: c.stats("../me")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "call"), CALLS)
def test_each_call_goes_where_the_contract_says(
    client: Client, script: Script, method: str, path: str, call: Callable[[Client], object]
) -> None:
    answer = {
        "access_token": "t", "id": "1", "email": "e", "name": "n", "task": "text", "kind": "export", "state": "queued",
        "items": [], "ranked_by": {}, "remaining": 0, "created": 1, "duplicates": 0,
        "data": [],
    }  # fmt: skip
    script.answers = [(200, answer)]
    call(client)
    assert script.asked[0][:2] == (method, path)


class Breaking(httpx.SyncByteStream):
    """A body that breaks off after ``data``, unless it is ``whole``."""

    def __init__(self, data: bytes, *, whole: bool) -> None:
        self._data, self._whole = data, whole

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        if not self._whole:
            raise httpx.ReadError("the line broke")


def pool_of(bodies: list[tuple[bytes, bool]], asked: list[dict[str, str]]) -> Client:
    """A client of a service that answers with these bodies, one after another."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        data, whole = bodies.pop(0)
        headers = {"winnow-items": "3", "winnow-version": "7"}
        return httpx.Response(200, headers=headers, stream=Breaking(data, whole=whole))

    return Client("http://here", "wn", http=httpx.Client(transport=httpx.MockTransport(answer)))


def test_predictions_of_the_pool_go_on_where_they_broke_off_with_the_same_student() -> None:
    asked: list[dict[str, str]] = []
    bodies = [(b'{"item": "1"}\n{"item": "2"}\n{"ite', False), (b"", False), (b'{"item": "3"}\n', True)]
    with pool_of(bodies, asked) as client:
        out = io.BytesIO()
        assert client.download_predictions("5", out) == 3
    assert [json.loads(line)["item"] for line in out.getvalue().splitlines()] == ["1", "2", "3"]
    assert asked[0] == {"format": "jsonl"}
    assert asked[1:] == [{"format": "jsonl", "version": "7", "after": "2"}] * 2


def test_predictions_that_break_again_and_again_or_are_csv_are_given_up() -> None:
    with pool_of([(b'{"item": "1"}\n', False), *[(b"", False)] * 3], []) as client, pytest.raises(Unreachable):
        list(client.iter_predictions("5"))
    with pool_of([(b"item,key\n1,", False)], []) as client, pytest.raises(Unreachable):
        client.download_predictions("5", io.BytesIO(), format="csv")
