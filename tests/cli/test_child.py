from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cli.child import LONGEST_WAIT_SECONDS, SHORT_LIFE_SECONDS, Child
from cli.logs import LogFile

ROOT = Path(__file__).parents[2]


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def child(tmp_path, clock):
    made = []

    def make(code: str, **changes) -> Child:
        arguments = [sys.executable, "-c", code]
        log = LogFile(tmp_path / "child.log")
        made.append(Child("part", arguments, dict(os.environ), log, clock=clock, **changes))
        return made[-1]

    yield make
    for one in made:
        one.kill()
        if one.process is not None:
            one.process.wait(10)
        one.log.close()


def ended(child: Child) -> str:
    found: list[str] = []

    def look() -> bool:
        ending = child.reap()
        if ending is not None:
            found.append(ending)
        return ending is not None

    until(look)
    return found[0]


def test_what_it_writes_goes_to_its_log(child):
    one = child("import sys; print('out', flush=True); print('err', file=sys.stderr)")
    one.start()
    assert ended(one) == "ended with exit code 0"
    until(lambda: one.log.path.read_text() == "out\nerr\n")
    assert one.log.last_line() == "err"


def test_how_it_ended_names_the_signal(child):
    one = child("import time; time.sleep(60)")
    one.start()
    os.kill(one.process.pid, signal.SIGKILL)
    assert ended(one) == "killed by SIGKILL"
    assert one.pid is None


def test_a_first_death_is_followed_by_a_start_at_once(child, clock):
    one = child("pass")
    one.start()
    ended(one)
    assert one.start_at == clock.now


def test_quick_deaths_in_a_row_make_the_next_start_wait_longer_up_to_a_limit(child, clock):
    one = child("pass")
    waits = []
    for _ in range(9):
        one.start()
        ended(one)
        waits.append(round(one.start_at - clock.now, 3))
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, *[LONGEST_WAIT_SECONDS] * 3]


def test_a_long_life_makes_quick_deaths_forgotten(child, clock):
    one = child("import sys; sys.stdin.read()", gate=True)
    one.short_lives = 5
    one.start()
    clock.now += SHORT_LIFE_SECONDS
    one.open_gate()
    ended(one)
    assert one.start_at == clock.now


def test_a_gated_program_waits_for_the_word(child):
    one = child("import sys; print('loaded', flush=True); sys.stdin.read(); print('on', flush=True)", gate=True)
    one.start()
    until(lambda: one.log.path.read_text() == "loaded\n")
    assert one.pid is not None
    one.open_gate()
    assert ended(one) == "ended with exit code 0"
    until(lambda: one.log.path.read_text() == "loaded\non\n")


def test_killing_it_kills_what_it_started(child):
    one = child(
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True); p.wait()"
    )
    one.start()
    until(lambda: one.log.path.read_text().endswith("\n"))
    grandchild = int(one.log.path.read_text())
    one.kill()
    ended(one)
    until(lambda: not lives(grandchild))


@pytest.mark.kill
def test_it_dies_with_whoever_started_it(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from cli.child import Child; from cli.logs import LogFile\n"
        f"c = Child('part', [sys.executable, '-c', 'import time; print(0, flush=True); time.sleep(60)'], "
        f"dict(os.environ), "
        f"LogFile(Path({str(tmp_path / 'log')!r})))\n"
        "c.start(); print(c.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until((tmp_path / "log").read_bytes)  # it runs, and is not only about to
    assert lives(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not lives(pid))


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
