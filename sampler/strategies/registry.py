"""The registry of query strategies, and the checks that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sampler.errors import MissingInput, UnknownStrategy
from sampler.query import QueryContext, QueryStrategy, Ranking, prepared
from sampler.scores import FloatArray
from sampler.threads import single_thread

Body = Callable[[QueryContext, int, int], Ranking]
"""What ranks: a checked context, how many rows, and a seed."""


@dataclass(frozen=True)
class _Strategy:
    """A function behind the checks that every strategy shares."""

    name: str
    needs: frozenset[str]
    body: Body

    def rank(self, ctx: QueryContext, size: int) -> Ranking:
        for need in sorted(self.needs):
            if getattr(ctx, need) is None:
                raise MissingInput(self.name, need)
        ctx = prepared(ctx)
        seed = int(ctx.rng.integers(1 << 62))
        size = max(0, min(size, len(ctx.candidates)))
        if size == 0:
            return Ranking(np.empty(0, np.int64), np.empty(0), [])
        with single_thread():
            return self.body(ctx, size, seed)


_REGISTRY: dict[str, QueryStrategy] = {}


def register(strategy: QueryStrategy) -> QueryStrategy:
    """Make ``strategy`` known by its name, and hand it back."""
    _REGISTRY[strategy.name] = strategy
    return strategy


def get_strategy(name: str) -> QueryStrategy:
    """The strategy called ``name``: one of ours, or ``modal:…``, ``skactiveml:…``, ``small_text:…`` (`sampler.peers`).

    Raises:
        UnknownStrategy: There is none; the message lists those that there are.
        MissingExtra: It comes from a library that is not installed.
    """
    if ":" in name:
        from sampler.peers import peer_strategy

        return _REGISTRY[name] if name in _REGISTRY else peer_strategy(name)
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnknownStrategy(name, strategy_names()) from None


def strategy_names() -> tuple[str, ...]:
    """The names of all strategies, in the order in which they were registered."""
    return tuple(_REGISTRY)


def strategy(name: str, *needs: str) -> Callable[[Body], Body]:
    """Register the function below as a strategy that needs these fields of the context."""

    def add(body: Body) -> Body:
        register(_Strategy(name, frozenset(needs), body))
        return body

    return add


def checked(name: str, body: Body, *needs: str) -> QueryStrategy:
    """A strategy behind the checks that all share, not registered: for those that are made when they are asked for."""
    return _Strategy(name, frozenset(needs), body)


def probabilities_of(ctx: QueryContext) -> FloatArray:
    """The probabilities of a context whose strategy needs them: shape ``(m, n_classes)``."""
    if ctx.probabilities is None:
        raise MissingInput("margin", "probabilities")
    return ctx.probabilities
