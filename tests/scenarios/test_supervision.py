"""What the supervisor promises: start, restart, one at a time, and an end within ten seconds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from bench.annotators import sign_in, wait_job
from bench.server import RunningServer

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.kill


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def family(server: RunningServer) -> list[psutil.Process]:
    return psutil.Process(server.pid).children(recursive=True)


def test_the_first_start_prints_who_may_sign_in_and_later_ones_do_not(tmp_path):
    with RunningServer(data=tmp_path / "data") as first:
        printed = [line for line in first.output if not line.startswith("winnow:")]
        assert printed == [f"owner: {first.email}", f"password: {first.password}"]
        sign_in(first.url, first.email, first.password).close()
    with RunningServer(data=tmp_path / "data") as second:
        assert [line for line in second.output if not line.startswith("winnow:")] == []
        sign_in(second.url, first.email, first.password).close()


def test_the_owner_can_be_set_by_variables(tmp_path):
    named = {"WINNOW_OWNER_EMAIL": "me@example.org", "WINNOW_OWNER_PASSWORD": "correct horse battery"}
    with RunningServer(data=tmp_path / "data", environment=named) as server:
        assert (server.email, server.password) == ("me@example.org", "correct horse battery")
        sign_in(server.url, "me@example.org", "correct horse battery").close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_all_of_it_within_ten_seconds(tmp_path, number):
    with RunningServer(ui=True, data=tmp_path / "data") as server:
        processes = [psutil.Process(server.pid), *family(server)]
        assert len(processes) >= 4
        processes[0].send_signal(number)
        gone, left = psutil.wait_procs(processes, timeout=10)
        assert left == []
        assert gone[0].returncode in (0, None)
    assert not (tmp_path / "data" / "serve.json").exists()


def test_killing_the_supervisor_leaves_nothing_behind(tmp_path):
    with RunningServer(ui=True, data=tmp_path / "data") as server:
        children = family(server)
        assert len(children) >= 3
        psutil.Process(server.pid).kill()
        _, left = psutil.wait_procs(children, timeout=10)
        assert left == []
    with RunningServer(data=tmp_path / "data") as again:
        assert httpx.get(f"{again.url}/healthz").status_code == 200


@pytest.mark.parametrize("part", ["api", "worker", "ui"])
def test_what_dies_is_started_again(server, part):
    before = server.part(part)
    before.kill()
    until(lambda: _another(server, part, before.pid))
    if part == "worker":
        until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
    elif part == "api":
        assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
    else:
        until(lambda: _answers(server.ui_url))
    assert any(f"{part} killed by SIGKILL; starting it again" in line for line in server.output)


def _another(server: RunningServer, part: str, pid: int) -> bool:
    return server.part(part).pid != pid


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url, timeout=5).status_code == 200
    return False


def test_jobs_go_on_after_an_idle_process_of_the_worker_was_killed(server, owner):
    until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
    until(lambda: server.part("worker").children())
    for child in server.part("worker").children():
        child.kill()  # it holds the lock of the pool's pipe
    body = {"name": "after", "task": "text", "labels": ["a", "b"], "settings": {"encoder": "hashed"}}
    project = owner.post("/v1/projects", json=body).raise_for_status().json()["id"]
    upload = {"file": ("rows.csv", b"text\none\ntwo\n", "text/csv")}
    job = owner.post(f"/v1/projects/{project}/imports", files=upload).raise_for_status().json()
    assert wait_job(owner, job, 60)["result"]["created"] == 2


def test_while_the_api_is_away_callers_wait_instead_of_being_refused(server):
    api = server.part("api")
    api.suspend()
    api.kill()
    assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200


def test_a_folder_has_one_server(server):
    second = serve("--data", str(server.data), "--port", "0", "--no-ui")
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert server.url in second.stderr


@pytest.mark.parametrize("option", ["--port", "--ui-port"])
def test_a_port_that_is_taken_is_said_before_anything_starts(server, tmp_path, option):
    taken = server.url.rsplit(":", 1)[1]
    other = "--ui-port" if option == "--port" else "--port"
    answer = serve("--data", str(tmp_path / "data"), option, taken, other, "0")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert re.fullmatch(rf"winnow: port {taken} .*{option} PORT\n", answer.stderr)


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "serve", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")},
        timeout=60,
        check=False,
    )


def test_what_the_parts_write_is_in_the_log_folder(server):
    assert {file.name for file in (server.data / "logs").iterdir()} >= {"api.log", "worker.log", "ui.log"}


def test_label_leads_from_a_file_to_a_signed_in_page(tmp_path):
    file = tmp_path / "mail.csv"
    file.write_text("text,label\nwin money,spam\nlunch?,\nfree prize,\n")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "cli.main", "label", str(file), "--labels", "spam,ham", "--no-browser"),
            *("--port", "0", "--ui-port", "0", "--data", str(tmp_path / "data")),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stderr is not None
        said = ""
        while "items," not in said:
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            said += line
        found = re.search(r"label at (http://\S+)/enter\?code=(\S+)", said)
        assert found is not None, said
        where = json.loads((tmp_path / "data" / "serve.json").read_text())
        assert found.group(1) == where["ui_url"]
        with httpx.Client(base_url=where["ui_url"]) as browser:
            entered = browser.get("/enter", params={"code": found.group(2)})
            assert entered.status_code == 200
            assert "/label?project=1" in entered.text
            assert browser.get("/v1/me").json()["role"] == "owner"
            project = browser.get("/v1/projects").json()["data"][0]
            assert (project["name"], project["task"]) == ("mail", "text")
            assert browser.get(f"/v1/projects/{project['id']}/stats").json()["items"] == 3
            again = browser.get("/enter", params={"code": found.group(2)})
            assert again.status_code == 410
    finally:
        process.terminate()
        process.wait(15)
        if process.stderr is not None:
            process.stderr.close()
