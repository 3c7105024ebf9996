"""The one-time entry."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from ui.doors import Entry, is_local, redeem
from ui.settings import UiSettings

CODE = "a-code-that-nobody-guesses"


def leave(folder: Path, **entry: object) -> Path:
    path = folder / hashlib.sha256(CODE.encode()).hexdigest()
    path.touch(mode=0o600)
    path.write_text(json.dumps(entry))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path


def test_a_code_opens_once(tmp_path: Path) -> None:
    leave(tmp_path, token="wn_t", target="/label?project=1", expires_in=60)
    assert redeem(tmp_path, CODE) == Entry("wn_t", "/label?project=1", 60)
    assert redeem(tmp_path, CODE) is None
    assert list(tmp_path.iterdir()) == []


def test_of_many_who_come_at_once_one_gets_in(tmp_path: Path) -> None:
    leave(tmp_path, token="wn_t")
    start = threading.Barrier(8)
    found: list[Entry | None] = []

    def come() -> None:
        start.wait()
        found.append(redeem(tmp_path, CODE))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([entry for entry in found if entry is not None]) == 1


def test_an_old_code_opens_nothing_and_is_gone(tmp_path: Path) -> None:
    path = leave(tmp_path, token="wn_t")
    old = time.time() - 3600
    os.utime(path, (old, old))
    assert redeem(tmp_path, CODE) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["", "short", "../../etc/passwd-and-more", "x" * 300, "another-code-of-that-length"])
def test_a_wrong_code_opens_nothing(tmp_path: Path, code: str) -> None:
    path = leave(tmp_path, token="wn_t")
    assert redeem(tmp_path, code) is None
    assert path.exists()


def test_a_broken_entry_opens_nothing(tmp_path: Path) -> None:
    leave(tmp_path).write_text("[]")
    assert redeem(tmp_path, CODE) is None


def test_without_a_folder_there_is_no_entry() -> None:
    assert redeem(None, CODE) is None


def test_an_entry_leads_to_this_site_only(tmp_path: Path) -> None:
    leave(tmp_path, token="wn_t", target="https://evil.example/")
    entry = redeem(tmp_path, CODE)
    assert entry is not None
    assert entry.target == "/"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil", "javascript:1", "", "/a b", '/"']
)
def test_what_is_not_a_path_here_is_not_local(target: str) -> None:
    assert not is_local(target)


@pytest.mark.parametrize("target", ["/", "/label?project=12", "/rounds?project=3&x=%20"])
def test_a_path_here_is_local(target: str) -> None:
    assert is_local(target)


def test_settings_come_from_the_environment() -> None:
    settings = UiSettings.from_environment(
        {
            "WINNOW_UI_PORT": "9000",
            "WINNOW_API_URL": "http://api:8000/",
            "WINNOW_PUBLIC_HOSTS": '["label.example.org", "Other.example"]',
        }
    )
    assert (settings.port, settings.api_url, settings.entry_dir) == (9000, "http://api:8000", None)
    assert settings.allowed_hosts == {"127.0.0.1", "localhost", "::1", "label.example.org", "other.example"}
    assert UiSettings.from_environment({"WINNOW_PUBLIC_HOSTS": "a.example, b.example"}).public_hosts == (
        "a.example",
        "b.example",
    )


def test_binding_to_every_address_allows_no_further_name() -> None:
    assert UiSettings(host="0.0.0.0").allowed_hosts == {"127.0.0.1", "localhost", "::1"}
