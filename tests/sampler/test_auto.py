"""What the default does when, and where its constants are."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import sampler.auto_constants
from sampler.strategies import get_strategy, strategy_names
from sampler.strategies.auto import BY_CHANCE, COLD_START, DOUBTS, auto_phase
from tests.sampler.conftest import ContextMaker

FOLDER = Path(sampler.auto_constants.__file__).parent
BEHIND_AUTO = (
    "class_names.py", "coldstart.py", "coverage.py", "diffusion.py", "strategies/auto.py", "strategies/herding.py",
    "strategies/typiclust.py", "strategies/uncertainty_herding.py", "strategies/unseen.py",
)  # fmt: skip
ONLY_COST = {
    "_MOST_MEMBERS",
    "_COLUMNS",
    "_ROWS",
    "_MEDIAN_ROWS",
    "_STALE_AT_ONCE",
    "_CHUNK_ROWS",
    "_COVERED_AT_ONCE",
    "_HUB_ROWS",
    "_MEAN_ROWS",
    "_NOTHING",
    "_TINY",
}
"""What bounds how much is looked at, or says what rounding leaves."""
RESERVE = {"_EXACT", "_BLOCK_REACH", "_GROWTH", "_LEAST_OF_BLOCK", "_LET_COVER"}
"""How what lies four batches ahead is picked, which the next round replaces."""
NOT_AUTOS = {"PURE", "_ROUNDS"}
"""ProbCover's; and how often picks beyond what the pool can fill cover it again."""


def numbers(path: Path) -> dict[str, tuple[float, str | None]]:
    """The numeric constants of a module, each with the string below it."""
    body = ast.parse(path.read_text("utf-8")).body
    found = {}
    for at, node in enumerate(body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, int | float) and isinstance(node.targets[0], ast.Name):
                below = body[at + 1] if at + 1 < len(body) else None
                said = below.value if isinstance(below, ast.Expr) else None
                text = said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else None
                found[node.targets[0].id] = (value, text)
    return found


def test_all_constants_of_auto_lie_in_one_file_and_say_where_they_come_from() -> None:
    constants = numbers(FOLDER / "auto_constants.py")
    assert len(constants) >= 13
    assert [name for name, (_, said) in constants.items() if not said] == []
    elsewhere = {f"{file}: {name}" for file in BEHIND_AUTO for name in numbers(FOLDER / file)}
    allowed = {f"{file}: {name}" for file in BEHIND_AUTO for name in ONLY_COST | RESERVE | NOT_AUTOS}
    assert elsewhere - allowed == set()


@pytest.mark.parametrize(
    ("n_labels", "n_classes", "has_model", "name", "strategy", "why"),
    [
        (0, 2, False, COLD_START, "typiclust", "nothing is labelled yet"),
        (0, 3, False, COLD_START, "herding", "nothing is labelled yet"),
        (0, 4, False, COLD_START, "herding", "nothing is labelled yet"),
        (0, 5, False, COLD_START, "typiclust", "nothing is labelled yet"),
        (19, 4, True, COLD_START, "herding", "19 labels of 20 are too few to trust what the model doubts"),
        (20, 4, True, DOUBTS, "uncertainty_herding", "20 labels are enough to trust what the model doubts"),
        (153, 77, True, COLD_START, "typiclust", "153 labels of 154 are too few to trust what the model doubts"),
        (154, 77, True, DOUBTS, "uncertainty_herding", "154 labels are enough to trust what the model doubts"),
        (40, 4, False, COLD_START, "herding", "there is no model yet"),
    ],
)
def test_the_phase_and_its_reason(
    n_labels: int, n_classes: int, has_model: bool, name: str, strategy: str, why: str
) -> None:
    phase = auto_phase(np.arange(n_labels) % n_classes, n_classes, has_model=has_model)
    assert (phase.name, phase.strategy, phase.why) == (name, strategy, why)
    assert phase.strategy in strategy_names()


def test_labels_of_one_class_are_no_model() -> None:
    phase = auto_phase(np.zeros(30, dtype=np.int64), 2, has_model=True)
    assert (phase.name, phase.why) == (COLD_START, "all labels are of one class so far")


def test_a_model_that_knows_nothing_is_not_asked_what_it_doubts() -> None:
    y = np.arange(40) % 2
    phase = auto_phase(y, 2, has_model=True, by_chance=True)
    assert (phase.name, phase.strategy) == (BY_CHANCE, "random")
    assert "no better than how often each class occurs" in phase.why
    assert auto_phase(y[:10], 2, has_model=True, by_chance=True).name == COLD_START


def test_then_it_draws_each_item_with_odds_by_how_many_it_stands_for(make_context: ContextMaker) -> None:
    first = []
    for seed in range(2_000):
        ctx = make_context(n=45, n_labeled=40, by_chance=True, weights=np.array([1.0, 1.0, 2.0, 2.0, 4.0]), seed=seed)
        ranking = get_strategy("auto").rank(ctx, 3)
        assert set(ranking.reasons) == {"drawn at random"}
        assert ranking.probabilities is not None
        first.append((int(np.searchsorted(ctx.candidates, ranking.rows[0])), float(ranking.probabilities[0])))
    drawn = np.bincount([place for place, _ in first], minlength=5) / len(first)
    np.testing.assert_allclose(drawn, [0.1, 0.1, 0.2, 0.2, 0.4], atol=0.035)
    assert {round(probability, 6) for place, probability in first if place == 4} == {0.4}
