"""The benchmark of what strategies lose by looking at a part of the pool."""

from __future__ import annotations

import pytest

from bench.candidates import STRATEGIES, measure


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_lost_where_the_part_is_the_whole_and_picks_beat_random_ones(name: str) -> None:
    found = measure(name, 1, 1_500)
    assert found["part"] == found["all"]
    assert found["lost"] == 0.0
    assert found["all"] > found["random"]


def test_a_part_gives_other_picks_that_are_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampler.strategies.herding.COVER_ROWS", 600)
    found = measure("herding", 1, 1_500)
    assert found["part"] != found["all"]
    assert found["part"] > found["random"]
    assert -0.5 < found["lost"] < 1.0
