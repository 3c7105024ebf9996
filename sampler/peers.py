"""The door for query strategies of other libraries: ``modal:NAME``, ``skactiveml:NAME``, ``small_text:NAME``.

The names are a closed list, so that what a project names is never a path into somebody's code. Nothing of the other
libraries is loaded before one of their strategies is asked for.
"""

from __future__ import annotations

from sampler.errors import UnknownStrategy
from sampler.query import QueryStrategy

MODAL = (
    "uncertainty_sampling",
    "margin_sampling",
    "entropy_sampling",
    "uncertainty_batch_sampling",
    "vote_entropy_sampling",
    "consensus_entropy_sampling",
    "max_disagreement_sampling",
    "expected_error_reduction",
    "information_density",
    "SVM_binary_minimum",
    "max_loss",
    "mean_max_loss",
    "min_confidence",
    "avg_confidence",
    "max_score",
    "avg_score",
    "ActiveLearner",
    "Committee",
)
SKACTIVEML = (
    "RandomSampling",
    "least_confident",
    "margin_sampling",
    "entropy",
    "QueryByCommittee",
    "GreedyBALD",
    "BatchBALD",
    "CoreSet",
    "TypiClust",
    "Badge",
    "ProbCover",
    "DropQuery",
    "Clue",
    "ContrastiveAL",
    "Falcun",
    "MaxHerding",
    "GreedySamplingX",
    "DiscriminativeAL",
    "ProbabilisticAL",
    "Quire",
    "MonteCarloEER",
)
SMALL_TEXT = (
    "RandomSampling",
    "BreakingTies",
    "LeastConfidence",
    "PredictionEntropy",
    "EmbeddingKMeans",
    "ContrastiveActiveLearning",
    "GreedyCoreset",
    "LightweightCoreset",
)
_LIBRARIES = {"modal": MODAL, "skactiveml": SKACTIVEML, "small_text": SMALL_TEXT}


def peer_names() -> tuple[str, ...]:
    """The names of all strategies of other libraries, with their prefixes."""
    return tuple(f"{library}:{name}" for library, names in _LIBRARIES.items() for name in names)


def peer_strategy(name: str) -> QueryStrategy:
    """The strategy ``LIBRARY:NAME`` of another library.

    Raises:
        UnknownStrategy: It is not on the list.
        MissingExtra: Its library is not installed.
    """
    library, _, bare = name.partition(":")
    if bare not in _LIBRARIES.get(library, ()):
        known = tuple(f"{library}:{known}" for known in _LIBRARIES.get(library, ())) or peer_names()
        raise UnknownStrategy(name, known)
    if library == "modal":
        from sampler.modal_strategies import modal_strategy

        return modal_strategy(bare)
    if library == "skactiveml":
        from sampler.skactiveml_strategies import skactiveml_strategy

        return skactiveml_strategy(bare)
    from sampler.small_text_strategies import small_text_strategy

    return small_text_strategy(bare)
