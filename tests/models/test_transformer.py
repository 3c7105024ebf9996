"""Transformer students: cut from an encoder, exact to its own network, trained by the common loop."""

import numpy as np
import pytest
import torch

from models.artifacts import load_student, save_student
from models.distill import distil
from models.errors import BadInput, CorruptModel
from models.students import FAMILIES_OF_TASK, TRANSFORMERS, network_class
from models.students import transformer as module
from models.students.student import Student
from models.students.transformer import MOST_PIECES, OneLayer, ThreeLayers, TwoLayers
from tests.models.small_students import KINDS, soft_labels, texts
from tests.models.tiny_trunks import (
    DIM,
    HEADS,
    POSITIONS,
    quick,
    tiny_arrays,
    tiny_trunk,
    transformer_student,
    vocabulary,
)

LONG = "apple " * 60


def cut(kind=TwoLayers, items=("apple", "hammer"), n_classes=2):
    return kind.cut(tiny_trunk(), list(items), n_classes, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kind", "depth"), [(OneLayer, 1), (TwoLayers, 2), (ThreeLayers, 3)])
def test_before_training_it_is_the_encoder_s_own_first_layers(kind, depth):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(vocabulary()), hidden_size=DIM, num_hidden_layers=3, num_attention_heads=HEADS,
        intermediate_size=24, max_position_embeddings=POSITIONS, type_vocab_size=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        bert = BertModel(config, add_pooling_layer=False).eval()
    bert.load_state_dict({name: torch.from_numpy(array) for name, array in tiny_arrays().items()})
    items = ["apple and banana", "hammer"]
    network = cut(kind, items)
    known = vocabulary()
    ids = torch.tensor([[3, known["apple"], known["and"], known["banana"], 4], [3, known["hammer"], 4, 0, 0]])
    with torch.inference_mode():
        hidden = bert(ids, attention_mask=(ids > 0).long(), output_hidden_states=True).hidden_states[depth]
        mask = (ids > 0).float()[..., None]
        expected = (hidden * mask).sum(1) / mask.sum(1)
        found = network.states(*network.prepare(items).batch(np.arange(2)))
    assert len(found) == depth
    assert found[-1].numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_text_is_answered_the_same_alone_and_among_others():
    student = transformer_student()
    items = ["apple", "", "hammer and nail with some very long tail", LONG, "☃ [PAD] apple"]
    together = student.predict_proba(items)
    alone = np.concatenate([student.predict_proba([item]) for item in items])
    assert together == pytest.approx(alone, abs=1e-5)


def test_many_long_texts_are_answered_in_parts(monkeypatch):
    student = transformer_student()
    items = [LONG, "apple", *[LONG] * 5]
    expected = student.predict_proba(items)
    monkeypatch.setattr(module, "_CELLS", 5_000)  # one long text at a time
    assert student.predict_proba(items) == pytest.approx(expected, abs=1e-5)


def test_what_does_not_fit_is_cut_and_counted():
    inputs = cut().prepare([LONG, "apple"])
    assert inputs.counts.tolist() == [POSITIONS, 3]
    assert inputs.cut_share == 0.5
    assert POSITIONS < MOST_PIECES


def test_training_hides_pieces_but_never_the_ends_or_padding():
    inputs = cut().prepare(["apple hammer", "apple"])
    plain = inputs.batch(np.arange(2))[0]
    noise = np.random.default_rng(0)
    seen = torch.stack([inputs.batch(np.arange(2), noise)[0] for _ in range(400)])
    hidden = (seen == 1) & (plain > 3)
    assert torch.equal(torch.where(hidden, plain, seen), plain.expand_as(seen))
    assert float(hidden.sum() / (400 * 3)) == pytest.approx(0.05, abs=0.02)


def test_distillation_teaches_it_and_its_report_says_how():
    items, y = texts(250, seed=1)
    features = np.random.default_rng(0).normal(size=(2, 8))[y]
    with quick():
        distilled = distil(
            "transformer-1", items, soft_labels(y, 2), [], [], class_names=KINDS, rng=np.random.default_rng(0),
            features=features, trunk=tiny_trunk(), epochs=4,
        )  # fmt: skip
    test, truth = texts(100, seed=9)
    assert (distilled.student.predict_proba(test).argmax(1) == truth).mean() >= 0.95
    report = distilled.report.to_dict()
    assert (report["matched"], report["cut_share"], report["warm"]) == (True, 0.0, False)


def test_matching_draws_its_state_to_the_teacher_s_features():
    from models.matching import make_match

    items, y = texts(100, seed=1)
    features = tiny_features(items)

    def apart(features_in_training):
        with quick():
            student = distil(
                "transformer-1", items, soft_labels(y, 2), [], [], class_names=KINDS, rng=np.random.default_rng(0),
                features=features_in_training, trunk=tiny_trunk(), epochs=3,
            ).student  # fmt: skip
        match = make_match(student.network, features, len(items), torch.Generator())
        batch = student.network.prepare(items).batch(np.arange(len(items)))
        with torch.inference_mode():
            return float(match(student.network, batch, torch.arange(len(items)))[1])

    # The projection begins as the identity, so that what is left apart is the student's own.
    assert apart(features) < 0.7 * apart(None)


def tiny_features(items):
    network = cut(ThreeLayers, items)
    with torch.inference_mode():
        return network.states(*network.prepare(items).batch(np.arange(len(items))))[-1].numpy()


def test_a_warm_start_goes_on_from_the_previous_student_and_its_vocabulary():
    items, y = texts(40, seed=3)
    previous = transformer_student("transformer-1")
    report_and_student = distil(
        "transformer-1", [*items, "water"], soft_labels(np.append(y, 0), 2), [], [], class_names=KINDS,
        rng=np.random.default_rng(0), previous=previous.arrays(), trunk=tiny_trunk(), epochs=1,
    )  # fmt: skip
    assert report_and_student.report.warm
    assert report_and_student.student.network.tokenizer == previous.network.tokenizer


def test_the_same_seed_gives_the_same_student():
    items, y = texts(30)

    def made():
        return distil(
            "transformer-1", items, soft_labels(y, 2), [], [], class_names=KINDS, rng=np.random.default_rng(5),
            features=np.ones((30, DIM)), trunk=tiny_trunk(), epochs=1,
        ).student.arrays()  # fmt: skip

    first, second = made(), made()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_half_precision_is_for_processors_that_have_it(monkeypatch):
    for able, expected in (({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert module.computes_in_half() is expected
    network = cut().train()
    half = network.states(*network.prepare(["apple", "hammer and nail"]).batch(np.arange(2)))[-1]
    with torch.inference_mode():
        exact = network.states(*network.prepare(["apple", "hammer and nail"]).batch(np.arange(2)))[-1]
    assert half.dtype == torch.float32
    assert half.detach().numpy() == pytest.approx(exact.numpy(), abs=0.1)
    assert not np.array_equal(half.detach().numpy(), exact.numpy())
    half.sum().backward()


def test_a_saved_student_predicts_the_same(tmp_path):
    student = transformer_student()
    save_student(tmp_path, student)
    loaded = load_student(tmp_path)
    items, _ = texts(20, seed=4)
    assert np.array_equal(loaded.predict_proba(items), student.predict_proba(items))
    assert loaded.config()["parameters"] == sum(p.numel() for p in student.network.parameters()) + 3


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": np.frombuffer(b"{", np.uint8)},
        {"heads": np.array([3])},
        {"heads": np.array([0])},
        {"embeddings.word_embeddings.weight": np.zeros((5, DIM), np.float32)},
        {"head.weight": np.zeros((2, 3), np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_called_damaged(change):
    with pytest.raises(CorruptModel):
        Student.from_arrays("transformer-2", {**transformer_student().arrays(), **change}, KINDS)


def test_it_needs_an_encoder_with_layers_enough():
    with pytest.raises(BadInput, match="its trunk must be handed in"):
        distil("transformer-1", ["a"], [[1, 0]], [], [], class_names=KINDS, rng=np.random.default_rng(0))
    short = tiny_trunk()
    arrays = {name: array for name, array in short.arrays.items() if "layer.1" not in name and "layer.2" not in name}
    with pytest.raises(BadInput, match="'tiny' has 1 layers, the student 'transformer-2' needs 2"):
        TwoLayers.cut(type(short)("tiny", arrays, short.tokenizer, 2, 1e-12), ["a"], 2, torch.Generator())


def test_its_pieces_cannot_be_mixed_with_those_of_another_text():
    arguments = {"class_names": KINDS, "rng": np.random.default_rng(0), "trunk": tiny_trunk()}
    with pytest.raises(BadInput, match="'transformer-1' read word pieces, which cannot be mixed"):
        distil("transformer-1", ["a", "b"], [[1, 0], [0, 1]], [], [], mixed_share=0.5, **arguments)


def test_an_item_that_is_no_text_is_named():
    with pytest.raises(BadInput, match="Item 1 is no text but bytes"):
        cut().prepare(["apple", b"x"])


def test_the_families_are_known_by_their_names():
    assert [network_class(f"transformer-{n}").depth for n in (1, 2, 3)] == [1, 2, 3]
    assert {network_class(name).reads_features for name in TRANSFORMERS} == {"always"}
    assert not {*TRANSFORMERS} & {*FAMILIES_OF_TASK["text"]}
