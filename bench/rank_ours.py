"""Our strategies as the benchmark of ranking times them: predict, score, and the first of the ranking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.rank_pool import RankPool
from models.teachers import LogisticTeacher
from sampler.committee import canonical_classes
from sampler.linear_committee import LinearCommittee, fit_linear_committee
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.strategies import get_strategy
from sampler.strategies.disagreement import rank_by_members
from sampler.strategies.registry import checked

PREDICT = "predict_proba alone"
ASK_NO_MODEL = ("random", "typiclust", "coreset", "herding", "probcover", "density")
"""They look at the features alone: no prediction belongs to them, here or in a peer."""
ASK_MEMBERS = ("vote_entropy", "consensus_entropy", "kl_max", "bald")
"""The members' predictions belong to them; the members are fitted before, here and in a peer."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """The whole of a ranking, and the same from probabilities that are there already (None where it asks for none)."""

    whole: Callable[[], object]
    stored: Callable[[], object] | None = None


@dataclass(frozen=True)
class Fitted:
    """The models that the strategies ask, fitted on the pool's labels."""

    pool: RankPool
    teacher: LogisticTeacher
    members: LinearCommittee

    @classmethod
    def on(cls, pool: RankPool) -> Fitted:
        """Fit them; no part of any timing."""
        points = pool.X[pool.labeled].astype(np.float32)
        rng = np.random.default_rng(0)
        teacher = LogisticTeacher.fit(points, pool.y, pool.n_classes, rng=rng, C=1.0, pool=pool.X)
        return cls(pool, teacher, fit_linear_committee(points, canonical_classes(pool.labeled, pool.y), rng))

    def runs(self, name: str, batch: int, threads: int, *, keep: bool = True) -> Runs:
        """What to time for the strategy ``name``, or for `PREDICT`; without ``keep`` no probabilities are stored."""

        def predict() -> NDArray[np.float32]:
            return self.teacher.predict_proba(self.pool.X, self.pool.candidates, threads=threads)

        def rank(strategy: QueryStrategy, probabilities: NDArray[np.float32] | None) -> Rows:
            context = QueryContext(
                features=self.pool.X,
                candidates=self.pool.candidates,
                labeled=self.pool.labeled,
                y=self.pool.y,
                n_classes=self.pool.n_classes,
                rng=np.random.default_rng(1),
                probabilities=probabilities,
                batch_size=batch,
            )
            return strategy.rank(context, batch).rows

        if name == PREDICT:
            return Runs(predict)
        if name in ASK_MEMBERS:
            return Runs(partial(rank, checked(name, self._by_members(name, threads)), None))
        strategy = get_strategy(name)
        if name in ASK_NO_MODEL:
            return Runs(partial(rank, strategy, None))
        return Runs(lambda: rank(strategy, predict()), partial(rank, strategy, predict()) if keep else None)

    def _by_members(self, measure: str, threads: int) -> Callable[[QueryContext, int, int], Ranking]:
        return lambda ctx, size, seed: rank_by_members(ctx, self.members, size, seed, measure, threads=threads)
