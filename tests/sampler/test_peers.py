"""The door for other libraries' strategies: a closed list, and an error that names the extra."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sampler.errors import MissingExtra, UnknownStrategy
from sampler.peers import MODAL, SKACTIVEML, SMALL_TEXT, peer_names
from sampler.strategies import get_strategy
from tests.sampler.conformance.registered import EXTRAS, INSTALLED, SLOW
from tests.sampler.conftest import ContextMaker
from winnow.errors import Invalid
from winnow.peer_strategies import PEER_STRATEGIES
from winnow.project_settings import validate_settings


def test_what_a_project_may_name_is_what_the_worker_knows() -> None:
    assert peer_names() == PEER_STRATEGIES
    assert len(set(PEER_STRATEGIES)) == len(MODAL) + len(SKACTIVEML) + len(SMALL_TEXT)


@pytest.mark.parametrize("name", ["modal:margin_sampling", "skactiveml:Badge", "small_text:BreakingTies"])
def test_a_project_may_name_one(name: str) -> None:
    assert validate_settings({"strategy": name}, "text")["strategy"] == name


@pytest.mark.parametrize(
    "name",
    ["modal:os.system", "modal:", "modal:models.ActiveLearner", "skactiveml:pool.Badge", "small_text:SEALS", "os:path"],
)
def test_anything_else_is_refused_by_settings_and_sampler(name: str) -> None:
    with pytest.raises(Invalid, match="strategy must be one of"):
        validate_settings({"strategy": name}, "text")
    with pytest.raises(UnknownStrategy, match=f"'{name}'"):
        get_strategy(name)


def test_a_refusal_lists_the_librarys_own_names() -> None:
    with pytest.raises(Invalid, match=r"must be one of small_text:RandomSampling, .*small_text:LightweightCoreset\.$"):
        validate_settings({"strategy": "small_text:Best"}, "text")
    with pytest.raises(UnknownStrategy, match=r"choose one of modal:uncertainty_sampling, .*modal:Committee\.$"):
        get_strategy("modal:best")


@pytest.mark.parametrize("name", ["skactiveml:Badge", "small_text:BreakingTies"])
def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    library = name.partition(":")[0]
    for module in [m for m in sys.modules if m.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)  # what Python takes for "not installed"
    with pytest.raises(MissingExtra, match=rf"{library} is not installed; .* pip install -e '\.\[peers\]'"):
        get_strategy(name)


@pytest.mark.parametrize("name", [name for name in SLOW if name.partition(":")[0] in INSTALLED])
def test_the_slow_ones_keep_to_the_rules_too(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    ranking = strategy.rank(make_context(), 108)
    assert sorted(ranking.rows.tolist()) == list(range(12, 120))
    np.testing.assert_array_equal(strategy.rank(make_context(), 7).rows, ranking.rows[:7])
    assert len(strategy.rank(make_context(n_labeled=0), 10)) == 10
    assert len(strategy.rank(make_context(candidates=np.array([77])), 10)) == 1


def test_the_extras_that_are_installed_are_in_the_conformance_suite() -> None:
    assert INSTALLED - {"modal"} <= EXTRAS
