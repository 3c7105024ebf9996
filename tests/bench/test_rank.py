"""The benchmark of ranking: what it counts, whom it compares, and what it does with those that take too long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.memory import anonymous_mb, cost_of, give_back
from bench.rank import TARGETS, Failures, measure, ratio
from bench.rank_ours import ASK_MEMBERS, ASK_NO_MODEL, PREDICT, Fitted
from bench.rank_peers import FITS_FOR_EACH_CANDIDATE, PEERS, PeerRuns
from bench.rank_pool import RankPool, make_pool, open_pool
from bench.rank_process import OVER_LIMIT, OVER_MEMORY, RankProcess, Terms
from sampler.errors import MissingInput
from sampler.query import QueryContext
from sampler.strategies import get_strategy, strategy_names
from tests.sampler.conformance.registered import INSTALLED

LIBRARIES = {"modAL": "modal", "scikit-activeml": "skactiveml", "small-text": "small_text"}
THEIRS = sorted(
    {peer for peers in PEERS.values() for peer in peers if LIBRARIES[peer.partition(" ")[0]] in INSTALLED}
    - set(FITS_FOR_EACH_CANDIDATE)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pool")
    make_pool(place, 9_000, 8, 3)
    return place


@pytest.fixture(scope="module")
def pool(folder: Path) -> RankPool:
    return open_pool(folder)


def test_the_pool_is_made_in_stretches_and_its_labels_are_those_of_its_rows(pool: RankPool) -> None:
    assert pool.X.dtype == np.float16
    assert isinstance(pool.X, np.memmap)
    np.testing.assert_allclose(np.linalg.norm(pool.X.astype(np.float32), axis=1), 1.0, atol=2e-3)
    assert len(pool.labeled) == 200
    assert (pool.labeled >= 8_192).any()  # some lie beyond the first stretch
    assert np.unique(pool.y).tolist() == [0, 1, 2]
    assert sorted([*pool.labeled, *pool.candidates]) == list(range(9_000))
    means = np.stack([pool.X[pool.labeled[pool.y == c]].mean(axis=0, dtype=np.float64) for c in range(3)])
    answers = Fitted.on(pool).teacher.predict_proba(pool.X, pool.labeled)
    assert (answers.argmax(axis=1) == pool.y).mean() > 0.5
    assert np.linalg.norm(means[0] - means[1]) > 0.1


def test_a_small_part_has_the_labelled_rows_and_the_first_candidates(pool: RankPool) -> None:
    small = pool.small(50)
    assert small.X.shape == (250, 8)
    np.testing.assert_array_equal(small.X[small.labeled], pool.X[pool.labeled])
    np.testing.assert_array_equal(small.X[small.candidates], pool.X[pool.candidates[:50]])


def test_one_run_watches_memory_and_the_others_the_clock() -> None:
    called: list[int] = []

    def run() -> int:
        called.append(len(called))
        return int(np.ones(60 << 20, dtype=np.int8)[::4096].sum())

    cost = cost_of(run, repeat=3, limit=60.0)
    assert len(called) == 4
    assert 55.0 < cost.extra_mb < 75.0
    assert cost_of(lambda: None, repeat=1, limit=60.0).extra_mb < 2.0
    called.clear()
    assert cost_of(run, repeat=3, limit=0.0).wall_ms > 0.0
    assert len(called) == 1


def test_pages_of_files_are_not_anonymous(pool: RankPool) -> None:
    give_back()  # else what earlier tests have freed would be used again
    before = anonymous_mb()
    kept = np.ones(40 << 20, dtype=np.int8)
    assert anonymous_mb() - before > 35.0
    assert kept[-1] == 1


@pytest.mark.parametrize(
    ("beside", "best", "times", "at_least", "met"),
    [
        ({"a": {"cpu_ms": 9.0}, "b": {"cpu_ms": 8.0}}, "b", 4.0, False, True),
        ({"a": {"cpu_ms": 5.0}, "b": {"failed": OVER_LIMIT}}, "a", 2.5, False, False),
        ({"b": {"failed": OVER_LIMIT}}, "b", 500.0, True, True),
        ({"b": {"failed": OVER_MEMORY}}, None, None, None, None),
        ({"b": {"failed": "skipped: over limit at 900 rows, 3 classes"}}, "b", 500.0, True, True),
        ({"b": {"failed": "skipped: over memory at 900 rows, 3 classes"}}, None, None, None, None),
        ({}, None, None, None, None),
    ],
)
def test_the_ratio_is_to_the_best_peer_and_a_limit_bounds_it(
    beside: dict[str, dict[str, object]], best: str | None, times: float | None, at_least: bool | None, met: bool | None
) -> None:
    found = ratio({"cpu_ms": 2.0}, beside, 1.0, 3.0)
    assert (found["best_peer"], found["times"], found["at_least"], found["met"]) == (best, times, at_least, met)


def test_a_limit_below_the_target_says_nothing() -> None:
    found = ratio({"cpu_ms": 2.0}, {"b": {"failed": OVER_LIMIT}}, 1.0, 600.0)
    assert (found["times"], found["at_least"], found["met"]) == (500.0, True, None)


def test_a_peer_that_failed_is_skipped_for_pools_that_are_no_smaller() -> None:
    failures = Failures()
    failures.note("a", 900, 10, {"failed": OVER_MEMORY})
    failures.note("b", 900, 10, {"cpu_ms": 3.0})
    failures.note("c", 900, 10, {"failed": "ValueError: for another reason"})
    skipped = {"failed": "skipped: over memory at 900 rows, 10 classes"}
    assert [failures.known("a", *place) for place in ((900, 10), (900, 100), (5_000, 10))] == [skipped] * 3
    assert [failures.known(*place) for place in (("a", 800, 10), ("a", 5_000, 9), ("b", 900, 10), ("c", 900, 10))] == [
        None
    ] * 4


def test_a_skipped_peer_is_in_the_table_and_its_limit_stands_for_it() -> None:
    found = measure([600, 900], [3], dim=4, batch=20, repeat=1, strategies=["expected_error"], limit=0.3)
    theirs = [row["wall_ms"] for row in found["peers"] if row["peer"].startswith("modAL")]
    assert theirs == [OVER_LIMIT, "skipped: over limit at 600 rows, 3 classes"]
    larger = [row for row in found["strategies"] if row["strategy"] == "expected_error"][1]
    assert (larger["best_peer"], larger["at_least"]) == ("modAL expected_error_reduction", True)


def test_every_target_and_every_peer_belongs_to_a_strategy() -> None:
    assert set(TARGETS) <= set(PEERS) <= set(strategy_names())


@pytest.mark.parametrize("name", strategy_names())
def test_a_strategy_is_timed_with_what_it_asks(pool: RankPool, name: str) -> None:
    small = pool.small(400)
    fitted = Fitted.on(small)

    def ranked(probabilities: np.ndarray | None) -> list[int]:
        context = QueryContext(
            small.X, small.candidates, small.labeled, small.y, 3, np.random.default_rng(1), probabilities, batch_size=20
        )
        return get_strategy(name).rank(context, 20).rows.tolist()

    probabilities = fitted.teacher.predict_proba(small.X, small.candidates)
    if name in (*ASK_NO_MODEL, *ASK_MEMBERS):
        assert ranked(None) == ranked(probabilities)
    elif "probabilities" in get_strategy(name).needs:
        with pytest.raises(MissingInput):
            ranked(None)
    else:
        assert ranked(None) != ranked(probabilities)
    runs = fitted.runs(name, 20, 1)
    assert len(np.unique(runs.whole())) == 20  # type: ignore[call-overload]
    if runs.stored is not None:
        np.testing.assert_array_equal(runs.stored(), ranked(probabilities))


@pytest.mark.parametrize("peer", THEIRS)
def test_a_peer_answers_for_all_of_the_pool(pool: RankPool, peer: str) -> None:
    small = pool.small(300)
    picks = PeerRuns(small, 20).run(peer)()
    positions = picks[0] if isinstance(picks, tuple) else picks
    assert np.shape(positions) == (20,)
    assert set(np.asarray(positions).tolist()) <= set(range(300))


def test_what_takes_too_long_is_killed_and_the_next_is_answered(folder: Path) -> None:
    terms = Terms(folder, batch=50, repeat=1, threads=1, limit=0.5, memory_gb=8.0)
    with RankProcess("peers", terms) as process:
        assert process.cost("modAL expected_error_reduction") == {"failed": OVER_LIMIT}
        assert process.cost("modAL margin_sampling")["cpu_ms"] > 0.0


def test_a_process_that_dies_says_so_and_the_next_is_answered(folder: Path) -> None:
    terms = Terms(folder / "nowhere", batch=50, repeat=1, threads=1, limit=60.0, memory_gb=8.0)
    with RankProcess("ours", terms) as process:
        assert process.cost("random") == {"failed": "died"}
        process._terms = Terms(folder, batch=50, repeat=1, threads=1, limit=60.0, memory_gb=8.0)
        assert process.cost("random")["wall_ms"] > 0.0


def test_a_matrix_too_large_is_refused_and_the_next_is_answered(folder: Path) -> None:
    terms = Terms(folder, batch=50, repeat=1, threads=1, limit=60.0, memory_gb=0.6)
    with RankProcess("peers", terms) as process:
        assert process.cost("modAL information_density") == {"failed": OVER_MEMORY}
        assert process.cost("modAL margin_sampling")["cpu_ms"] > 0.0


def test_the_table_has_ours_and_theirs_for_each_size() -> None:
    found = measure([700], [3], dim=8, batch=20, repeat=1, strategies=["margin", "typiclust"], peers=False)
    assert [(row["rows"], row["classes"], row["strategy"]) for row in found["strategies"]] == [
        (700, 3, PREDICT), (700, 3, "margin"), (700, 3, "typiclust"),
    ]  # fmt: skip
    predict, margin, typiclust = found["strategies"]
    assert min(margin["stored_cpu_ms"], margin["cpu_ms"]) > 0.0
    assert predict["stored_cpu_ms"] is None
    assert typiclust["stored_cpu_ms"] is None
    assert (margin["best_peer"], margin["target"]) == (None, 1.0)
    assert "peers" not in found
