"""The steps of a compression by their names, each a function of an encoder; they are tried in the order given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.compression.compact import BITS, Compact, build_compact, text_pieces
from models.compression.importance import Importance, measure_importance
from models.compression.material import EncoderState, Material
from models.compression.network import EncoderNetwork, FloatArray, amplitudes_of
from models.compression.reconstruction import reconstruct
from models.compression.recovery import FINE_RATE, RATE, recover
from models.compression.structure import (
    keep_heads,
    keep_layers,
    keep_pieces,
    keep_units,
    most_important,
    spread_layers,
)
from models.compression.vocabulary import COMMON, pieces_to_keep, trim_tokenizer
from models.compression.weights import cluster_weights, factorise, prune_magnitudes
from models.errors import BadInput
from models.minilm_graph import activation_names, layer_count

IntArray = NDArray[np.int64]

_IMPORTANCE_TEXTS = 400
_FITTED_TOKENS = 60_000
"""Most word pieces that weights are fitted on: what the inner units give for each of them, 6 KB, is held in memory."""
_WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: One of `STEPS`.
        value: What comes after ``=``, or the step's default; None where it takes none.
    """

    name: str
    value: float | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value:g}"


def parse_steps(text: str) -> list[Step]:
    """``vocabulary,heads=6,int8`` as steps.

    >>> [str(step) for step in parse_steps("vocabulary, heads=8,int8")]
    ['vocabulary=8000', 'heads=8', 'int8']

    Raises:
        BadInput: An unknown step, a value that it cannot have, or pruning after quantisation.
    """
    steps: list[Step] = []
    quantised = ""
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, given = part.partition("=")
        if name not in STEPS:
            raise BadInput(f"There is no step {name!r}; use some of: {', '.join(STEPS)}.")
        kind = STEPS[name]
        if given and kind.default is None:
            raise BadInput(f"The step {name} takes no value; write {name}.")
        try:
            value = float(given) if given else kind.default
        except ValueError:
            raise BadInput(f"{part}: the value of a step is a number, as in {name}={kind.default:g}.") from None
        if quantised and not kind.quantises:
            raise BadInput(f"Prune first, then quantise: {name} must come before {quantised}.")
        if name in ("heads", "ffn", "prune") and any(step.name == "lowrank" for step in steps):
            raise BadInput(f"What is factored cannot be pruned any more: {name} must come before lowrank.")
        quantised = quantised or (name if kind.quantises else "")
        steps.append(Step(name, value))
    if not steps:
        raise BadInput(f"There are no steps: name some of {', '.join(STEPS)}.")
    return steps


def apply_step(state: EncoderState, step: Step, material: Material) -> EncoderState:
    """The encoder after a step.

    Raises:
        BadInput: The step needs texts and there are none, or its value does not fit the encoder.
    """
    kind = STEPS[step.name]
    if kind.needs_texts and not material.texts:
        raise BadInput(f"The step {step.name} looks at texts of the pool: give some with --texts.")
    material.progress(str(step), 0.0)
    after = kind.apply(state, 0.0 if step.value is None else step.value, material)
    if kind.recovers and material.epochs > 0:
        after = _recovered(after, material.epochs, RATE, material, str(step))
    return after


def quantises(step: Step) -> bool:
    """Whether what comes out has integer weights."""
    return STEPS[step.name].quantises


def takes_structure(step: Step) -> bool:
    """Whether the encoder has fewer parts after it."""
    return STEPS[step.name].recovers


def to_compact(state: EncoderState, material: Material) -> Compact:
    """The encoder as it is handed out."""
    calibration = [] if state.form == "fp32" else material.calibration(state)
    return build_compact(state.weights, state.tokenizer, state.form, calibration=calibration)


def _trim(state: EncoderState, value: float, material: Material) -> EncoderState:
    used = text_pieces(state.tokenizer, material.texts, most=1 << 30)
    if value != int(value) or value < 0:
        raise BadInput(f"vocabulary={value:g}: give how many of the commonest pieces stay, 0 or more.")
    pieces = pieces_to_keep(state.tokenizer, used, int(value))
    return replace(state, weights=keep_pieces(state.weights, pieces), tokenizer=trim_tokenizer(state.tokenizer, pieces))


def _layers(state: EncoderState, value: float, material: Material) -> EncoderState:
    chosen = spread_layers(layer_count(state.weights), _whole_number(value, "layers"))
    left = tuple(_layers_left(state)[place] for place in chosen)
    cut = replace(state, weights=keep_layers(state.weights, chosen), layers=left)
    # A product of two factors is not fitted anew: it would be one matrix again.
    factored = any(name.endswith(".thin") for name in cut.weights)
    return cut if factored else _refitted(cut, cut.weights, material)


def _heads(state: EncoderState, value: float, material: Material) -> EncoderState:
    importance = _importance(state, material)
    kept = keep_heads(state.weights, most_important(importance.heads, _whole_number(value, "heads"), "heads"))
    return _refitted(state, kept, material)


def _units(state: EncoderState, value: float, material: Material) -> EncoderState:
    importance = _importance(state, material)
    kept = keep_units(state.weights, most_important(importance.units, _whole_number(value, "ffn"), "inner units"))
    return _refitted(state, kept, material)


def _prune(state: EncoderState, value: float, material: Material) -> EncoderState:
    """That share of the heads and of the inner units of each layer goes, the least important."""
    if not 0 < value < 1:
        raise BadInput(f"prune={value:g}: give the share of heads and inner units that goes, between 0 and 1.")
    importance = _importance(state, material)
    stay = 1 - value
    heads = most_important(importance.heads, max(1, round(stay * len(importance.heads[0]))), "heads")
    units = most_important(importance.units, max(1, round(stay * len(importance.units[0]))), "inner units")
    return _refitted(state, keep_units(keep_heads(state.weights, heads), units), material)


def _magnitude(state: EncoderState, value: float, material: Material) -> EncoderState:
    weights, masks = prune_magnitudes(state.weights, value)
    return replace(state, weights=weights, masks=masks)


def _low_rank(state: EncoderState, value: float, material: Material) -> EncoderState:
    seen = EncoderNetwork(state.weights).ranges(material.calibration(state))
    return replace(state, weights=factorise(state.weights, _whole_number(value, "lowrank"), amplitudes_of(seen)))


def _cluster(state: EncoderState, value: float, material: Material) -> EncoderState:
    return replace(state, weights=cluster_weights(state.weights, _whole_number(value, "cluster")))


def _recover(state: EncoderState, value: float, material: Material) -> EncoderState:
    return _recovered(state, value, RATE, material, "recover")


def _int8(state: EncoderState, value: float, material: Material) -> EncoderState:
    return replace(state, form="int8")


def _int8_static(state: EncoderState, value: float, material: Material) -> EncoderState:
    return replace(state, form="int8-static")


def _quantisation_aware(state: EncoderState, value: float, material: Material) -> EncoderState:
    even = set(activation_names(layer_count(state.weights)))
    seen = amplitudes_of(EncoderNetwork(state.weights).ranges(material.calibration(state)))
    loud = {name: amplitude for name, amplitude in seen.items() if name in even}
    trained = _recovered(state, value, FINE_RATE, material, "qat", bits=BITS, amplitudes=loud)
    return replace(trained, form="int8")


def _importance(state: EncoderState, material: Material) -> Importance:
    return measure_importance(state.weights, material.pieces(state, _IMPORTANCE_TEXTS), material.rng)


def _refitted(state: EncoderState, pruned: Mapping[str, FloatArray], material: Material) -> EncoderState:
    """The pruned weights fitted to what the whole encoder's layers give, with the words that are left."""
    whole = {**material.whole.weights, _WORDS: pruned[_WORDS]}
    pieces = _first_tokens(material.pieces(state, _FITTED_TOKENS), _FITTED_TOKENS)
    layers = _layers_left(state)
    return replace(state, weights=reconstruct(pruned, whole, pieces, layers=layers, threads=material.threads))


def _layers_left(state: EncoderState) -> tuple[int, ...]:
    return state.layers or tuple(range(layer_count(state.weights)))


def _first_tokens(pieces: list[IntArray], most: int) -> list[IntArray]:
    """So many of the first texts as have ``most`` pieces, one at least."""
    ends = np.cumsum([len(ids) for ids in pieces])
    return pieces[: max(1, int(np.searchsorted(ends, most, side="right")))]


def _recovered(
    state: EncoderState,
    epochs: float,
    rate: float,
    material: Material,
    what: str,
    *,
    bits: int | None = None,
    amplitudes: Mapping[str, FloatArray] | None = None,
) -> EncoderState:
    # Whatever else was taken out since, what is zero of a pruned matrix stays so.
    masks = {name: state.weights[name] != 0 for name in state.masks if name in state.weights}
    weights, report = recover(
        state.weights,
        material.pieces(state),
        material.embeddings,
        rng=material.rng,
        epochs=epochs,
        rate=rate,
        bits=bits,
        amplitudes=amplitudes,
        masks=masks,
        threads=material.threads,
        progress=lambda done: material.progress(f"{what}: recovering", done),
    )
    return replace(state, weights=weights, reports=(*state.reports, report))


def _whole_number(value: float, what: str) -> int:
    if value != int(value) or value < 1:
        raise BadInput(f"{what}={value:g}: give a whole number from 1.")
    return int(value)


@dataclass(frozen=True)
class _Kind:
    """What a step does, its default value, and what it needs."""

    apply: Callable[[EncoderState, float, Material], EncoderState]
    default: float | None = None
    needs_texts: bool = True
    recovers: bool = False
    quantises: bool = False


STEPS: Mapping[str, _Kind] = {
    "vocabulary": _Kind(_trim, COMMON),
    "layers": _Kind(_layers, 4, recovers=True),
    "heads": _Kind(_heads, 6, recovers=True),
    "ffn": _Kind(_units, 768, recovers=True),
    "prune": _Kind(_prune, 0.5, recovers=True),
    "lowrank": _Kind(_low_rank, 128, recovers=True),
    "magnitude": _Kind(_magnitude, 0.5, needs_texts=False, recovers=False),
    "cluster": _Kind(_cluster, 16, needs_texts=False),
    "recover": _Kind(_recover, 1),
    "int8": _Kind(_int8, needs_texts=False, quantises=True),
    "int8-static": _Kind(_int8_static, needs_texts=False, quantises=True),
    "qat": _Kind(_quantisation_aware, 1, quantises=True),
}
"""The steps by name, in the order in which they make sense."""
