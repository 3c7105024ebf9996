import json

import numpy as np
import pytest

from models.compression.compact import build_compact, text_pieces
from models.compression.importance import measure_importance
from models.compression.network import EncoderNetwork, embed
from models.compression.reconstruction import reconstruct
from models.compression.recovery import recover
from models.compression.structure import (
    Shape,
    keep_heads,
    keep_layers,
    keep_pieces,
    keep_units,
    most_important,
    spread_layers,
)
from models.compression.vocabulary import pieces_to_keep, special_piece, trim_tokenizer
from models.errors import BadInput
from predictor.cascade import Pieces
from tests.models.tiny_text_encoder import SPECIAL, TEXTS, UNITS, WORDS, tiny_tokenizer, tiny_weights


@pytest.fixture(scope="module")
def weights():
    return tiny_weights()


@pytest.fixture(scope="module")
def pieces():
    return text_pieces(tiny_tokenizer(), TEXTS)


def embeddings(weights, pieces):
    return embed(EncoderNetwork(weights), pieces)


def nearness(weights, pieces, reference):
    return float((embeddings(weights, pieces) * reference).sum(1).mean())


def silenced(weights, *, heads=(), units=()):
    """The same encoder, in which these heads of layer 0 and units of layer 1 give nothing."""
    changed = {name: value.copy() for name, value in weights.items()}
    for head in heads:
        changed["encoder.layer.0.attention.output.dense.weight"][:, 32 * head : 32 * (head + 1)] = 0
    changed["encoder.layer.1.output.dense.weight"][:, list(units)] = 0
    return changed


def test_torch_and_onnx_give_the_same_embeddings(weights, pieces):
    compact = build_compact(weights, tiny_tokenizer(), "fp32")
    assert np.abs(compact.network().run(TEXTS) - embeddings(weights, pieces)).max() < 1e-5


def test_the_shape_is_read_from_the_weights(weights):
    shape = Shape.of(weights)
    assert (shape.layers, shape.heads, shape.units) == (2, (2, 2), (96, 96))
    assert shape.pieces == len(SPECIAL) + len(WORDS)
    assert shape.parameters == sum(value.size for value in weights.values())


def test_without_what_gives_nothing_an_encoder_gives_the_same(weights, pieces):
    quiet = silenced(weights, heads=[1], units=range(60, UNITS))
    pruned = keep_units(keep_heads(quiet, [np.array([0]), np.array([0, 1])]), [np.arange(UNITS), np.arange(60)])
    assert Shape.of(pruned).heads == (1, 2)
    assert Shape.of(pruned).units == (96, 60)
    assert np.abs(embeddings(pruned, pieces) - embeddings(quiet, pieces)).max() < 1e-5


def test_what_gives_nothing_has_no_importance(weights, pieces):
    importance = measure_importance(silenced(weights, heads=[1], units=[5, 7]), pieces, np.random.default_rng(0))
    assert importance.heads[0][1] == 0
    assert importance.heads[0][0] > 0
    assert np.flatnonzero(importance.units[1] == 0).tolist() == [5, 7]


def test_the_least_important_half_costs_less_than_the_most_important(weights, pieces):
    importance = measure_importance(weights, pieces, np.random.default_rng(0)).units
    reference = embeddings(weights, pieces)
    best = keep_units(weights, most_important(importance, 48, "units"))
    worst = keep_units(weights, most_important([-layer for layer in importance], 48, "units"))
    assert nearness(best, pieces, reference) > nearness(worst, pieces, reference) + 0.01


def test_layers_are_kept_in_their_order_under_new_numbers(weights):
    kept = keep_layers(weights, [1])
    assert Shape.of(kept).layers == 1
    name = "intermediate.dense.weight"
    assert np.array_equal(kept[f"encoder.layer.0.{name}"], weights[f"encoder.layer.1.{name}"])
    assert spread_layers(6, 6) == [0, 1, 2, 3, 4, 5]
    assert spread_layers(6, 1) == [5]


@pytest.mark.parametrize(
    "impossible",
    [
        lambda w: keep_layers(w, [2]),
        lambda w: keep_layers(w, []),
        lambda w: spread_layers(6, 7),
        lambda w: most_important([np.ones(3)], 4, "heads"),
        lambda w: measure_importance(w, [], np.random.default_rng(0)),
        lambda w: reconstruct(w, w, []),
        lambda w: reconstruct(keep_layers(w, [0]), w, [np.array([2, 3])]),
        lambda w: reconstruct(keep_layers(w, [0]), w, [np.array([2, 3])], layers=[2]),
        lambda w: reconstruct(w, w, [np.array([2, 3])], layers=[1, 0]),
        lambda w: recover(w, [np.array([2, 3])], np.ones((2, 64), np.float32), rng=np.random.default_rng(0)),
    ],
)
def test_what_cannot_be_is_said(weights, impossible):
    with pytest.raises(BadInput):
        impossible(weights)


def test_reconstruction_and_recovery_each_bring_a_pruned_encoder_nearer(weights, pieces):
    reference = embeddings(weights, pieces)
    importance = measure_importance(weights, pieces, np.random.default_rng(0))
    pruned = keep_units(weights, most_important(importance.units, 24, "units"))
    repaired = reconstruct(pruned, weights, pieces)
    before, after = nearness(pruned, pieces, reference), nearness(repaired, pieces, reference)
    assert 1 - after < 0.5 * (1 - before)
    learned, report = recover(repaired, pieces, reference, rng=np.random.default_rng(0), epochs=15, rate=1e-3)
    assert nearness(learned, pieces, reference) > after
    assert (report.texts, report.steps) == (len(TEXTS), 15 * len(TEXTS) // 8)
    assert report.cosine_after > report.cosine_before
    words = "embeddings.word_embeddings.weight"
    assert np.array_equal(learned[words], repaired[words])


def test_a_layer_makes_up_for_the_one_taken_out_before_it(weights, pieces):
    reference = embeddings(weights, pieces)
    cut = keep_layers(weights, [1])
    fitted = reconstruct(cut, weights, pieces, layers=[1])
    before, after = nearness(cut, pieces, reference), nearness(fitted, pieces, reference)
    assert 1 - after < 0.5 * (1 - before)
    assert after > nearness(reconstruct(cut, weights, pieces, layers=[0]), pieces, reference)


def test_recovery_is_the_same_for_the_same_seed(weights, pieces):
    reference = embeddings(weights, pieces)
    pruned = keep_heads(weights, [np.array([0]), np.array([1])])
    first, second = (recover(pruned, pieces, reference, rng=np.random.default_rng(3), epochs=1)[0] for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_trimmed_tokenizer_splits_its_texts_as_before_and_others_into_shorter_pieces(weights):
    tokenizer = tiny_tokenizer()
    kept = pieces_to_keep(tokenizer, Pieces(tokenizer.encode()).ids(["goal team", "banking"]))
    assert set(pieces_to_keep(tokenizer, [], common=6)) - set(pieces_to_keep(tokenizer, [])) == {4, 5}
    trimmed = trim_tokenizer(tokenizer, kept)
    names = [[*SPECIAL, *WORDS][number] for number in kept]
    assert names == [*SPECIAL, "goal", "team", "bank", "##k", "##ing", "b", "a", "n", "##a"]
    vocabulary = json.loads(trimmed)["model"]["vocab"]
    assert list(vocabulary) == names
    assert special_piece(trimmed, "[SEP]") == 3
    read = Pieces(trimmed.encode())
    assert [[names[i] for i in ids] for ids in read.ids(["banking goal", "na", "rain"])] == [
        ["bank", "##ing", "goal"],
        ["n", "##a"],
        ["[UNK]"],
    ]
    small = embed(EncoderNetwork(keep_pieces(weights, kept)), text_pieces(trimmed, ["goal team banking"]))
    whole = embed(EncoderNetwork(weights), text_pieces(tokenizer, ["goal team banking"]))
    assert np.abs(small - whole).max() < 1e-6


@pytest.mark.parametrize("broken", ["{", "[]", '{"model": {"type": "BPE", "vocab": {}}}'])
def test_a_tokenizer_of_another_kind_is_refused(broken):
    with pytest.raises(BadInput):
        pieces_to_keep(broken, [])
