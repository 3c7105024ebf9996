"""Simulations whose labels choose the encoder, as a project's do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.encoder_choice import made_up
from models import encoder_minilm, encoders
from models.encoder_choice import FIRST_MARGIN, LATER_MARGIN
from tests.worker.stub_minilm import Stub
from worker import encoder_comparison, simulated_pool
from worker.dataset import Dataset
from worker.encoder_comparison import compare_encoders
from worker.simulate import SimulateOptions, simulate

OPTIONS = SimulateOptions(batch=60, budget=180, seeds=1, student="none", baseline="none")


def texts(n: int, seed: int) -> Dataset:
    """Six made-up words each, two of which only texts of its class have."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    common, dry, wet = ([made_up(f"{kind}{chr(97 + i)}") for i in range(26)] for kind in ("any", "dry", "wet"))
    items = [" ".join(rng.permutation([*rng.choice((dry, wet)[c], 2), *rng.choice(common, 4)])) for c in y]
    return Dataset("text", items, tuple(("dry", "wet")[c] for c in y))


POOL, TEST = texts(300, 0), texts(60, 1)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """MiniLM that tells nothing apart, and a first comparison at 20 labels."""
    monkeypatch.setattr(encoders, "_minilm_installed", lambda: True)
    monkeypatch.setattr(encoder_minilm, "MiniLMEncoder", Stub)
    monkeypatch.setattr(encoder_comparison, "LEAST_LABELS", 20)


def test_a_pool_of_made_up_words_goes_over_to_hashed_with_a_hundred_labels() -> None:
    outcome = simulate(POOL, TEST, OPTIONS)
    [run] = outcome["seeds"]
    [choice] = run["encoder_choices"]  # 480 labels would be asked again
    assert (choice["present"], choice["encoder"], choice["labels"]) == ("minilm", "hashed", 120)
    assert outcome["encoder"] == "hashed"
    assert choice["gain"] == pytest.approx(choice["losses"]["minilm"] - choice["losses"]["hashed"], abs=2e-4)
    assert choice["gain"] > choice["needed"] > 0.0


@pytest.mark.usefixtures("blind")
def test_rounds_go_on_with_what_the_chosen_encoder_sees() -> None:
    options = replace(OPTIONS, batch=25, budget=75)
    auto, blind = (simulate(POOL, TEST, replace(options, encoder=name))["seeds"][0] for name in ("auto", "minilm"))
    assert [choice["labels"] for choice in auto["encoder_choices"]] == [25]
    assert blind["encoder_choices"] is None
    assert auto["queries"][0] == blind["queries"][0]
    assert auto["queries"][1] != blind["queries"][1]
    assert max(blind["accuracy"]) < 0.7
    assert auto["accuracy"][-1] > 0.85


@pytest.mark.usefixtures("blind")
def test_each_run_is_asked_again_at_four_times_the_labels_and_shares_what_was_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []
    whole = simulated_pool.encoded_files

    def counted(encoder: Any, *arguments: Any) -> Any:
        encoded.append(encoder.name)
        return whole(encoder, *arguments)

    monkeypatch.setattr(simulated_pool, "encoded_files", counted)
    outcome = simulate(POOL, TEST, replace(OPTIONS, batch=40, budget=160, baseline="random"))
    for run in (*outcome["seeds"], *outcome["baseline"]["seeds"]):
        assert [(choice["labels"], choice["present"]) for choice in run["encoder_choices"]] == [
            (40, "minilm"), (160, "hashed"),
        ]  # fmt: skip
        assert [choice["encoder"] for choice in run["encoder_choices"]] == ["hashed", "hashed"]
    assert encoded == ["minilm", "hashed"]


@pytest.mark.usefixtures("blind")
def test_labels_that_were_not_asked_for_choose_no_encoder() -> None:
    options = replace(OPTIONS, batch=25, budget=50)
    before = simulate(POOL, TEST, options)["seeds"][0]
    asked = {row for batch in before["queries"] for row in batch}
    other = tuple(
        label if row in asked else {"dry": "wet", "wet": "dry"}[label] for row, label in enumerate(POOL.labels)
    )
    after = simulate(replace(POOL, labels=other), TEST, options)["seeds"][0]
    assert after["encoder_choices"] == before["encoder_choices"]
    assert after["queries"] == before["queries"]


def test_a_second_comparison_asks_for_more_than_the_first() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    rows = {name: rng.normal(size=(120, 4)) + np.outer(y, [much, 0, 0, 0]) for name, much in (("a", 0.0), ("b", 1.0))}
    first, later = (
        compare_encoders(
            lambda places: {name: found[places] for name, found in rows.items()}, y, np.zeros(120, bool),
            present="a", is_first=is_first, rng=np.random.default_rng(0),
        )
        for is_first in (True, False)
    )  # fmt: skip
    assert later.gain == first.gain
    assert later.needed / first.needed == pytest.approx(LATER_MARGIN / FIRST_MARGIN, rel=2e-3)


def test_more_labels_than_a_comparison_takes_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_comparison, "MOST_ROWS", 50)
    asked: list[np.ndarray] = []

    def rows_of(places: np.ndarray) -> dict[str, np.ndarray]:
        asked.append(places)
        return {name: np.random.default_rng(seed).normal(size=(len(places), 3)) for seed, name in enumerate("ab")}

    choice = compare_encoders(
        rows_of, np.arange(120) % 2, np.zeros(120, bool), present="a", is_first=True, rng=np.random.default_rng(0)
    )
    assert (choice.labels, choice.tested) == (120, 50)
    [places] = asked
    assert len(set(places.tolist())) == 50
    assert places.max() > 60
