"""Parts of a round side by side: the same results, errors and log lines as one after the other."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import structlog
import threadpoolctl

from sampler.threads import single_thread
from worker import side_by_side as module
from worker.side_by_side import Ahead, side_by_side


@pytest.fixture(params=[1, 2])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    n: int = request.param
    monkeypatch.setattr(module, "usable_cores", lambda: n)
    return n


def test_results_come_in_the_order_of_the_work(cores: int) -> None:
    gate = threading.Event()

    def slow() -> str:
        assert gate.wait(30) or cores == 1
        return "first"

    def fast() -> str:
        gate.set()
        return "second"

    if cores == 1:
        gate.set()
    assert side_by_side([slow, fast]) == ["first", "second"]
    assert side_by_side([]) == []


def test_the_first_error_is_raised_once_all_have_ended(cores: int) -> None:
    ended = []

    def bad() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        side_by_side([bad, lambda: ended.append(1)])
    assert ended == ([1] if cores == 2 else [])


def test_what_was_begun_ahead_runs_in_its_own_thread_where_there_is_a_second_core(cores: int) -> None:
    with Ahead(threading.get_ident) as ahead:
        assert (ahead.result() == threading.get_ident()) == (cores == 1)
    assert ahead.beside == (cores == 2)
    assert ahead.seconds > 0


def test_what_its_thread_has_taken_so_far_is_told_while_it_goes_on_and_after(cores: int) -> None:
    computed, gate = threading.Event(), threading.Event()

    def work() -> None:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        computed.set()
        gate.wait(30)

    with Ahead(work) as ahead:
        if cores == 1:
            gate.set()
        else:
            assert computed.wait(30)
            assert 0.05 <= ahead.cpu_beside() < 10
            gate.set()
        ahead.result()
        assert ahead.cpu >= 0.05
        assert ahead.cpu_beside() == (ahead.cpu if cores == 2 else 0.0), "on a single core nothing goes on beside it"


def test_leaving_waits_for_what_was_begun(cores: int) -> None:
    begun, gate, ended = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        gate.wait(30)
        ended.append(1)

    def interrupted() -> None:
        with Ahead(work):
            if cores == 2:
                assert begun.wait(30)
            threading.Timer(0.05, gate.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert ended == ([1] if cores == 2 else []), "what nobody asked for is not done on a single core"


def test_its_error_is_raised_where_the_result_is_asked_for(cores: int) -> None:
    with Ahead(lambda: np.linalg.inv(np.zeros((2, 2)))) as ahead, pytest.raises(np.linalg.LinAlgError):
        ahead.result()


@pytest.mark.usefixtures("cores")
def test_a_thread_has_the_callers_context_and_one_thread_for_its_sums() -> None:
    def look() -> tuple[dict[str, Any], set[int]]:
        counts = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
        return dict(structlog.contextvars.get_contextvars()), counts

    with structlog.contextvars.bound_contextvars(job=7), single_thread(), Ahead(look) as ahead:
        found = [ahead.result(), *side_by_side([look, look])]
    assert found == [({"job": 7}, {1})] * 3
