"""Which strategies the suite holds: all that are registered, and those of other libraries that are installed."""

from __future__ import annotations

import importlib.util

import pytest

from sampler.peers import peer_names
from sampler.strategies import get_strategy, strategy_names

#: They fit a model for each candidate and class: one test of their own instead of sixty (test_peers.py).
SLOW = ("modal:expected_error_reduction", "skactiveml:MonteCarloEER")
EXTRAS = {"skactiveml", "small_text"}
INSTALLED = {"modal"} | {library for library in EXTRAS if importlib.util.find_spec(library) is not None}
PEERS = tuple(name for name in peer_names() if name.partition(":")[0] in INSTALLED and name not in SLOW)
NAMES = (*strategy_names(), *PEERS)
NEED_PROBABILITIES = tuple(name for name in NAMES if "probabilities" in get_strategy(name).needs)

every_strategy = pytest.mark.parametrize("name", NAMES)
#: For what is checked before any of them is called: ours, and one of each other library.
every_door = pytest.mark.parametrize(
    "name", [*strategy_names(), *dict(reversed([(name.partition(":")[0], name) for name in PEERS])).values()]
)
