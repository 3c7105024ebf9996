"""Logs, ports, the lock on a data folder, and files that appear whole."""

from __future__ import annotations

import io
import socket

import pytest

from cli.console import table
from cli.errors import CommandError
from cli.instance import Instance, running
from cli.logs import LogFile
from cli.ports import free_port, listen, url
from cli.transfer import parse_mapping, writing


def test_a_full_log_is_set_aside_and_the_oldest_forgotten(tmp_path):
    log = LogFile(tmp_path / "part.log", max_bytes=10, kept=2)
    for line in (b"first\n", b"second\n", b"third\n", b"fourth\n"):
        log.write(line)
    log.close()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "part.log": "fourth\n",
        "part.log.1": "third\n",
        "part.log.2": "second\n",
    }


def test_a_log_goes_on_where_it_stopped(tmp_path):
    for word in (b"one\n", b"two\n"):
        log = LogFile(tmp_path / "part.log")
        log.write(word)
        log.close()
    assert (tmp_path / "part.log").read_bytes() == b"one\ntwo\n"


def test_a_port_that_is_taken_is_named_with_the_option_that_changes_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"port {port} .*--ui-port"):
            free_port("127.0.0.1", port, "--ui-port")


def test_port_0_is_any_free_port():
    with listen("127.0.0.1", 0, "--port") as listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")],
)
def test_an_address_is_one_that_a_browser_understands(host, shown):
    assert url(host, 80) == shown


def test_a_data_folder_has_one_server_at_a_time(tmp_path):
    with Instance(tmp_path) as first:
        first.announce(url="http://127.0.0.1:1", ui_url=None)
        with pytest.raises(CommandError, match=r"already runs .* http://127\.0\.0\.1:1"), Instance(tmp_path):
            pass
        assert running(tmp_path)["url"] == "http://127.0.0.1:1"
    assert running(tmp_path) is None
    with Instance(tmp_path):
        assert running(tmp_path) is None


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    out = tmp_path / "labels.jsonl"
    out.write_text("old")
    with pytest.raises(TypeError), writing(out) as file:
        file.writelines([b"half", None])
    assert [path.name for path in tmp_path.iterdir()] == ["labels.jsonl"]
    assert out.read_text() == "old"
    with writing(out) as file:
        file.write(b"whole")
    assert out.read_text() == "whole"


def test_a_mapping_is_an_object_of_names():
    assert parse_mapping('{"text": "body"}') == {"text": "body"}
    assert parse_mapping(None) is None


def test_without_a_file_the_result_goes_to_stdout(monkeypatch):
    class Stdout:
        buffer = io.BytesIO()

    monkeypatch.setattr("sys.stdout", Stdout)
    with writing(None) as file:
        file.write(b"rows")
    assert Stdout.buffer.getvalue() == b"rows"


def test_a_table_is_aligned():
    assert table(["labels", "auto"], [["20", ".5"], ["100", ".95"]]) == "labels  auto\n20        .5\n100      .95"
