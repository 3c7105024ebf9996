"""The query strategies of other libraries that a project may name: a closed list.

What a worker makes of them is in ``sampler/peers.py``, which may not be imported here; a test holds the two together.
Those of scikit-activeml and small-text need the extra ``peers`` where the workers run.
"""

from __future__ import annotations

from importlib.util import find_spec

LIBRARIES = {"modal": "modAL", "skactiveml": "skactiveml", "small_text": "small_text"}
"""The module of each prefix."""
PEER_STRATEGIES = (
    "modal:uncertainty_sampling",
    "modal:margin_sampling",
    "modal:entropy_sampling",
    "modal:uncertainty_batch_sampling",
    "modal:vote_entropy_sampling",
    "modal:consensus_entropy_sampling",
    "modal:max_disagreement_sampling",
    "modal:expected_error_reduction",
    "modal:information_density",
    "modal:SVM_binary_minimum",
    "modal:max_loss",
    "modal:mean_max_loss",
    "modal:min_confidence",
    "modal:avg_confidence",
    "modal:max_score",
    "modal:avg_score",
    "modal:ActiveLearner",
    "modal:Committee",
    "skactiveml:RandomSampling",
    "skactiveml:least_confident",
    "skactiveml:margin_sampling",
    "skactiveml:entropy",
    "skactiveml:QueryByCommittee",
    "skactiveml:GreedyBALD",
    "skactiveml:BatchBALD",
    "skactiveml:CoreSet",
    "skactiveml:TypiClust",
    "skactiveml:Badge",
    "skactiveml:ProbCover",
    "skactiveml:DropQuery",
    "skactiveml:Clue",
    "skactiveml:ContrastiveAL",
    "skactiveml:Falcun",
    "skactiveml:MaxHerding",
    "skactiveml:GreedySamplingX",
    "skactiveml:DiscriminativeAL",
    "skactiveml:ProbabilisticAL",
    "skactiveml:Quire",
    "skactiveml:MonteCarloEER",
    "small_text:RandomSampling",
    "small_text:BreakingTies",
    "small_text:LeastConfidence",
    "small_text:PredictionEntropy",
    "small_text:EmbeddingKMeans",
    "small_text:ContrastiveActiveLearning",
    "small_text:GreedyCoreset",
    "small_text:LightweightCoreset",
)


def installed_peers() -> tuple[str, ...]:
    """Those whose library is installed here, in their order. Nothing is imported: modAL alone would load torch."""
    there = {prefix for prefix, module in LIBRARIES.items() if find_spec(module) is not None}
    return tuple(name for name in PEER_STRATEGIES if name.partition(":")[0] in there)
