import json
from dataclasses import replace

import numpy as np
import pytest

from models.compression import steps
from models.compression.compact import build_compact, text_pieces
from models.compression.folder import load_compact, save_compact
from models.compression.material import EncoderState, Material
from models.compression.network import EncoderNetwork, embed
from models.compression.steps import apply_step, parse_steps, to_compact
from models.compression.structure import Shape, keep_layers
from models.compression.verdict import Measured, judge
from models.compression.weights import cluster_weights, factorise, kernel_names, prune_magnitudes
from models.errors import BadInput, CorruptModel
from tests.models.tiny_text_encoder import TEXTS, tiny_tokenizer, tiny_weights

OUTER = "encoder.layer.0.output.dense.weight"


@pytest.fixture(scope="module")
def state():
    return EncoderState(tiny_weights(), tiny_tokenizer())


@pytest.fixture(scope="module")
def reference(state):
    return embed(EncoderNetwork(state.weights), text_pieces(state.tokenizer, TEXTS))


def material(state, **options):
    return Material(state, TEXTS, rng=np.random.default_rng(0), **{"epochs": 0, **options})


def nearness(state, reference):
    given = embed(EncoderNetwork(state.weights), text_pieces(state.tokenizer, TEXTS))
    return float((given * reference).sum(1).mean())


def kinds(compact):
    import onnx

    return {node.op_type for node in onnx.load_model_from_string(compact.model).graph.node}


def test_quantised_encoders_give_nearly_the_same_embeddings_in_less_space(state, reference):
    exact = build_compact(state.weights, state.tokenizer, "fp32")
    calibration = text_pieces(state.tokenizer, TEXTS)
    for form, product in (("int8", "DynamicQuantizeMatMul"), ("int8-static", "MatMulIntegerToFloat")):
        compact = build_compact(state.weights, state.tokenizer, form, calibration=calibration)
        cosines = (compact.network().run(TEXTS) * reference).sum(1)
        assert cosines.min() > 0.99, form
        assert product in kinds(compact)
        assert product not in kinds(exact)
        assert len(compact.model) < 0.7 * len(exact.model)


def test_the_network_in_training_computes_what_the_quantised_graph_will(state):
    network = EncoderNetwork(state.weights)
    network.fake_quantise(7)
    given = embed(network, text_pieces(state.tokenizer, TEXTS[:1]))
    compact = build_compact(state.weights, state.tokenizer, "int8", calibration=text_pieces(state.tokenizer, TEXTS))
    plain = embed(EncoderNetwork(state.weights), text_pieces(state.tokenizer, TEXTS[:1]))
    quantised = compact.network().run(TEXTS[:1])
    assert np.abs(given - plain).max() > 0
    assert np.linalg.norm(given - quantised) < np.linalg.norm(plain - quantised)


def test_magnitude_pruning_takes_the_smallest_and_training_leaves_them_out(state):
    pruned, masks = prune_magnitudes(state.weights, 0.5)
    name = kernel_names(state.weights)[0]
    assert abs((pruned[name] == 0).mean() - 0.5) < 0.01
    assert np.abs(state.weights[name][~masks[name]]).max() <= np.abs(state.weights[name][masks[name]]).min()
    tried = apply_step(EncoderState(pruned, state.tokenizer, masks=masks), parse_steps("recover=1")[0], material(state))
    assert (tried.weights[name][~masks[name]] == 0).all()
    assert not np.array_equal(tried.weights[name], pruned[name])


def test_clusters_are_few_values_each_weight_at_its_nearest(state):
    name = kernel_names(state.weights)[0]
    clustered = cluster_weights(state.weights, 8)[name]
    values = np.unique(clustered)
    assert len(values) == 8
    nearest = values[np.abs(state.weights[name][..., None] - values).argmin(-1)]
    assert np.array_equal(clustered, nearest)
    assert np.abs(clustered - state.weights[name]).mean() < np.abs(state.weights[name]).mean() / 4


def test_factors_of_full_rank_give_the_same_and_thin_ones_are_fewer_numbers(state):
    rank_one = {name: value.copy() for name, value in state.weights.items()}
    for name in kernel_names(rank_one, ("intermediate.dense", "output.dense")):
        rank_one[name] = np.outer(rank_one[name][:, 0], rank_one[name][0]).astype(np.float32)
    amplitudes = {"layer0.gelu": np.linspace(0.1, 3, 96).astype(np.float32)}
    factored = factorise(rank_one, 1, amplitudes)
    assert Shape.of(factored).parameters < Shape.of(rank_one).parameters
    pieces = text_pieces(state.tokenizer, TEXTS)
    expected = embed(EncoderNetwork(rank_one), pieces)
    assert np.abs(embed(EncoderNetwork(factored), pieces) - expected).max() < 1e-4
    graph = build_compact(factored, state.tokenizer, "fp32").network().run(TEXTS)
    assert np.abs(graph - expected).max() < 1e-4
    assert factorise(state.weights, 1_000).keys() == state.weights.keys()


def test_steps_follow_each_other(state, reference):
    here = state
    stuff = material(state, epochs=0.5)
    for step in parse_steps("vocabulary=0,prune=0.5,lowrank=8,cluster=32,qat=1"):
        here = apply_step(here, step, stuff)
    shape = Shape.of(here.weights)
    assert (shape.heads, shape.units) == ((1, 1), (48, 48))
    assert here.form == "int8"
    assert len(here.reports) == 3
    compact = to_compact(here, stuff)
    assert compact.network().run(TEXTS).shape == reference.shape
    assert len(compact.model) < 0.5 * len(to_compact(state, stuff).model)


def test_layers_and_what_is_pruned_of_them_are_fitted_to_the_layers_of_the_whole_encoder(state, reference):
    cut = replace(state, weights=keep_layers(state.weights, [1]))
    fitted = apply_step(state, parse_steps("layers=1")[0], material(state))
    assert fitted.layers == (1,)
    assert nearness(fitted, reference) > nearness(cut, reference)
    # What a layer was fitted to before says nothing of what the next step fits it to.
    spoilt = replace(fitted, weights={**fitted.weights, OUTER: 2 * fitted.weights[OUTER]})
    pruned = apply_step(spoilt, parse_steps("ffn=72")[0], material(state))
    assert Shape.of(pruned.weights).units == (72,)
    assert nearness(pruned, reference) > nearness(spoilt, reference)


def test_few_texts_are_fitted_where_the_first_are_long(state, monkeypatch):
    def fitted(most):
        monkeypatch.setattr(steps, "_FITTED_TOKENS", most)
        return apply_step(state, parse_steps("layers=1")[0], material(state)).weights[OUTER]

    two_texts = sum(map(len, text_pieces(state.tokenizer, TEXTS[:2])))
    assert np.array_equal(fitted(two_texts), fitted(two_texts + 1))
    assert not np.array_equal(fitted(two_texts), fitted(two_texts - 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no steps"),
        ("shrink", "'shrink'"),
        ("int8,prune", "Prune first"),
        ("lowrank,heads", "before lowrank"),
        ("int8=4", "takes no value"),
        ("heads=many", "is a number"),
    ],
)
def test_steps_that_cannot_be_are_refused(text, says):
    with pytest.raises(BadInput, match=says):
        parse_steps(text)


@pytest.mark.parametrize(
    "step", ["heads=3", "heads=1.5", "ffn=97", "layers=3", "magnitude=1", "cluster=1", "prune=2", "vocabulary=-1"]
)
def test_values_that_do_not_fit_the_encoder_are_refused(state, step):
    with pytest.raises(BadInput):
        apply_step(state, parse_steps(step)[0], material(state))


def test_steps_that_look_at_texts_say_so_where_there_are_none(state):
    with pytest.raises(BadInput, match="--texts"):
        apply_step(state, parse_steps("vocabulary")[0], Material(state, [], rng=np.random.default_rng(0)))


def measured(size=100, speed=10.0, cosine=0.99, accuracy=None):
    return Measured(size, size, {"one thread": speed}, 1.0, cosine, accuracy)


@pytest.mark.parametrize(
    ("after", "kept", "says"),
    [
        (measured(speed=20.0, accuracy=0.80), True, "2.00 times as fast; 100.0%"),
        (measured(size=50, accuracy=0.79), True, "50% smaller"),
        (measured(size=50, accuracy=0.70), False, "87.5% of the accuracy"),
        (measured(accuracy=0.80), False, "gains nothing"),
        (measured(cosine=0.995, accuracy=0.80), True, "nearer to the whole encoder by 0.005"),
        (measured(cosine=0.995, accuracy=0.80, speed=5.0), False, "gains nothing"),
        (measured(speed=20.0, cosine=0.5), False, "the cosine with the whole encoder is 0.500"),
        (measured(speed=20.0), True, "cosine 0.990"),
    ],
)
def test_a_step_stays_where_it_pays_and_costs_little(after, kept, says):
    verdict = judge(after, measured(accuracy=0.80), measured(accuracy=0.80))
    assert verdict.kept is kept
    assert says in verdict.why


def test_a_saved_encoder_is_the_same_and_a_changed_one_is_refused(state, tmp_path):
    compact = build_compact(state.weights, state.tokenizer, "fp32")
    save_compact(tmp_path, compact, steps=["x"])
    loaded, manifest = load_compact(tmp_path)
    assert loaded == compact
    assert manifest["steps"] == ["x"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "model.onnx", "tokenizer.json"]
    manifest = {**manifest, "settings": {**manifest["settings"], "cls": 0}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptModel, match="digest"):
        load_compact(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(CorruptModel, match="not that of a compressed encoder"):
        load_compact(tmp_path)
    with pytest.raises(CorruptModel, match="no readable encoder"):
        load_compact(tmp_path / "nowhere")
