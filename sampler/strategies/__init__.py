"""The query strategies, one file each where it has a paper of its own, and their registry.

Each ranks in two stages where the pool is large: a cheap score (or a seeded draw) keeps a part of the candidates, and
the costly step works on that part. All are pure: the same context and generator state give the same ranking.
"""

# In the order in which they are listed to people.
from sampler.strategies import uncertainty, disagreement, model_change, expected_error, density, balance  # noqa: I001
from sampler.strategies import coreset, typiclust, herding, probcover, kmeans, clustered_margin, badge, i_optimal
from sampler.strategies import uncertainty_herding, ranked_batch, dropquery, committee, auto
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.strategies.registry import get_strategy, register, strategy_names

__all__ = [
    "QueryContext",
    "QueryStrategy",
    "Ranking",
    "auto",
    "badge",
    "balance",
    "clustered_margin",
    "committee",
    "coreset",
    "density",
    "disagreement",
    "dropquery",
    "expected_error",
    "get_strategy",
    "herding",
    "i_optimal",
    "kmeans",
    "model_change",
    "probcover",
    "ranked_batch",
    "register",
    "strategy_names",
    "typiclust",
    "uncertainty",
    "uncertainty_herding",
]
