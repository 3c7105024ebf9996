"""Distillation learns, repeats itself exactly, goes on from where it was, and refuses nonsense."""

import numpy as np
import pytest
import torch

from models import distill
from models.distill import distil
from models.errors import BadInput, ModelError
from models.losses import cross_entropy, fit_scale, one_hot, soften
from models.students import make_family
from tests.models.small_students import images, soft_labels, texts, vectors

POOLS = {
    "static": (texts, 2, 0.98),
    "hashed": (texts, 2, 0.98),
    "convnet": (images, 3, 0.93),
    "mlp": (vectors, 3, 0.97),
}


def train(family, n=300, seed=0, sure=0.9, **options):
    make, n_classes, _ = POOLS[family]
    items, y = make(n)
    names = [f"class {i}" for i in range(n_classes)]
    soft = soft_labels(y, n_classes, sure)
    options = {"labeled_items": [], "y": [], **options}
    return distil(family, items, soft, class_names=names, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("family", POOLS)
def test_a_student_learns_what_its_teacher_knows(family):
    make, _, at_least = POOLS[family]
    items, y = make(400, seed=9)
    student = train(family).student
    assert (student.predict_proba(items).argmax(1) == y).mean() >= at_least


@pytest.mark.parametrize("family", POOLS)
def test_the_same_seed_gives_the_same_student_to_the_last_bit(family):
    first, second = train(family).student.arrays(), train(family).student.arrays()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other) for name, other in train(family, seed=1).student.arrays().items())


@pytest.mark.parametrize("family", POOLS)
def test_training_draws_nothing_from_global_generators(family):
    before = torch.random.get_rng_state(), np.random.get_state(legacy=False)["state"]["pos"]  # noqa: NPY002
    train(family, n=60)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state(legacy=False)["state"]["pos"] == before[1]  # noqa: NPY002


@pytest.mark.parametrize("family", POOLS)
def test_a_warm_start_is_short_and_no_worse(family):
    cold = train(family)
    warm = train(family, seed=1, previous=cold.student.arrays())
    make, _, at_least = POOLS[family]
    items, y = make(400, seed=9)
    assert warm.report.warm
    assert warm.report.epochs == distill.WARM_EPOCHS < cold.report.epochs
    assert (warm.student.predict_proba(items).argmax(1) == y).mean() >= at_least


def test_a_warm_start_leaves_the_arrays_of_the_previous_student_as_they_were():
    before = {name: array.copy() for name, array in train("hashed").student.arrays().items()}
    handed = {name: array.copy() for name, array in before.items()}
    train("hashed", seed=1, previous=handed)
    assert all(np.array_equal(before[name], handed[name]) for name in before)


def test_another_number_of_classes_starts_cold():
    items, y = texts(100)
    names = ["a", "b", "c"]
    previous = train("hashed").student.arrays()
    rng = np.random.default_rng(0)
    made = distil("hashed", items, soft_labels(y, 3), [], [], class_names=names, rng=rng, previous=previous)
    assert not made.report.warm
    assert made.student.predict_proba(["x"]).shape == (1, 3)


@pytest.mark.parametrize("previous", [{}, {"table": np.zeros((4, 2), np.float32)}, {"head.bias": np.zeros(2)}])
def test_arrays_of_something_else_start_cold(previous):
    assert not train("hashed", n=60, previous=previous).report.warm


def test_labels_are_mixed_in_and_overrule_an_unsure_teacher():
    items, y = texts(60)
    undecided = np.full((60, 2), 0.5)
    made = distil("hashed", items, undecided, items, y, class_names=["a", "b"], rng=np.random.default_rng(0))
    assert (made.student.predict_proba(items).argmax(1) == y).all()
    assert made.report.n_labeled == 60


def test_labels_alone_are_enough():
    items, y = texts(60)
    made = distil("hashed", [], np.zeros((0, 2)), items, y, class_names=["a", "b"], rng=np.random.default_rng(0))
    assert (made.student.predict_proba(items).argmax(1) == y).all()


@pytest.mark.parametrize("sure", [0.7, 0.95])
def test_the_student_is_as_sure_as_its_teacher_though_it_learned_from_sharpened_labels(sure):
    student = train("hashed", n=600, sure=sure).student
    fresh, _ = texts(200, seed=5)
    assert student.predict_proba(fresh).max(1).mean() == pytest.approx(sure, abs=0.03)


@pytest.mark.parametrize("family", POOLS)
def test_one_single_item_can_be_learned_from(family):
    make, n_classes, _ = POOLS[family]
    items, y = make(1)
    names = [str(i) for i in range(n_classes)]
    made = distil(family, items, soft_labels(y, n_classes), [], [], class_names=names, rng=np.random.default_rng(0))
    assert np.isfinite(made.student.predict_proba(items)).all()


def test_the_rows_kept_aside_are_the_same_ones_in_the_next_round():
    items, _ = texts(1000)
    shuffled = [items[i] for i in np.random.default_rng(3).permutation(1000)]
    chosen = {items[i] for i in distill._aside(items)}
    assert 20 <= len(chosen) <= 80
    assert chosen == {shuffled[i] for i in distill._aside(shuffled)}
    assert len(distill._aside(items[:100])) == 0


def test_the_weights_of_the_best_epoch_are_kept(monkeypatch):
    losses, seen = [3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0], []

    def scripted(fit):
        seen.append(fit.network.head.bias.detach().numpy().copy())
        return losses[len(seen) - 1]

    monkeypatch.setattr(distill._Fit, "_loss", scripted)
    made = train("mlp", epochs=30)
    assert (made.report.best_epoch, made.report.epochs, made.report.loss) == (2, 6, 1.0)
    assert np.array_equal(made.student.arrays()["head.bias"], seen[1])
    assert not np.array_equal(seen[1], seen[5])


def test_the_threads_of_torch_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train("mlp", n=20, threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"soft": np.ones((3, 2))}, "Soft labels of shape"),
        ({"soft": np.full((4, 2), np.nan)}, "must be probabilities"),
        ({"soft": np.full((4, 2), -1.0)}, "must be probabilities"),
        ({"y": [0]}, "for 0 labelled"),
        ({"labeled_items": ["x"], "y": [2]}, "from 0 to 1"),
        ({"labeled_items": ["x"], "y": [-1]}, "from 0 to 1"),
        ({"class_names": ["a"], "soft": np.ones((4, 1))}, "two classes"),
        ({"items": [], "soft": np.zeros((0, 2))}, "nothing to learn from"),
        ({"items": ["a", b"b", "c", "d"]}, "Item 1 is no text"),
        ({"temperature": 0.0}, "temperature"),
        ({"curriculum": "backwards"}, "no curriculum 'backwards'"),
        ({"mixed_share": 1.5}, "share of mixed items"),
        ({"calibration": (["a"], [2])}, "Labels for calibration"),
        ({"calibration": (["a"], [0, 1])}, "Labels for calibration"),
    ],
)
def test_nonsense_is_refused_with_its_reason(change, message):
    good = {
        "items": ["a", "b", "c", "d"],
        "soft": np.full((4, 2), 0.5),
        "labeled_items": [],
        "y": [],
        "class_names": ["a", "b"],
        "rng": np.random.default_rng(0),
    }
    arguments = {**good, **change}
    positional = [arguments.pop(name) for name in ("items", "soft", "labeled_items", "y")]
    with pytest.raises(BadInput, match=message):
        distil("hashed", *positional, **arguments)


def test_each_task_has_its_family():
    assert [make_family(task) for task in ("text", "image", "features")] == ["static", "convnet", "mlp"]
    assert make_family("text", "hashed") == "hashed"
    assert make_family("text", "transformer-2") == "transformer-2"
    with pytest.raises(ModelError, match="'transformer-2' does not read image items; use 'auto' or one of: 'convnet'"):
        make_family("image", "transformer-2")
    with pytest.raises(ModelError, match="does not read text"):
        make_family("text", "convnet")
    with pytest.raises(ModelError, match="no student for 'sound'"):
        make_family("sound")


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("mlp", {"curriculum": "self_paced"}),
        ("hashed", {"curriculum": "hard_first"}),
        ("hashed", {"mixed_share": 0.5}),
        ("mlp", {"mixed_share": 0.5}),
    ],
)
def test_other_orders_and_mixed_items_teach_too(family, options):
    make, _, at_least = POOLS[family]
    items, y = make(400, seed=9)
    made = train(family, **options)
    assert (made.student.predict_proba(items).argmax(1) == y).mean() >= at_least
    plain = train(family).student.arrays()["head.weight"]
    assert not np.array_equal(made.student.arrays()["head.weight"], plain)


def test_labels_that_teach_nothing_say_how_sure_a_student_may_be():
    fresh, truth = texts(600, seed=5)
    kept, y = texts(200, seed=6)
    wrong = np.random.default_rng(0).random(200) < 0.25  # the teacher is sure, and a quarter of the labels disagree
    made = train("hashed", n=600, sure=0.97, calibration=(kept, np.where(wrong, 1 - y, y)))
    assert made.report.calibrated_on == 200
    probabilities = made.student.predict_proba(fresh)
    assert (probabilities.argmax(1) == truth).mean() >= 0.98
    assert probabilities.max(1).mean() == pytest.approx(0.76, abs=0.04)
    assert made.report.scale == pytest.approx(float(made.student.arrays()["scale"][0]))


def test_one_label_hardly_outweighs_the_teacher():
    kept, y = texts(1, seed=6)
    alone = train("hashed", n=600, sure=0.8)
    with_one = train("hashed", n=600, sure=0.8, calibration=(kept, 1 - y))
    assert alone.report.calibrated_on == 0
    assert 0.7 * alone.report.scale < with_one.report.scale < alone.report.scale


def test_softening_raises_to_the_inverse_temperature():
    assert soften(np.array([[0.8, 0.2]]), 0.5) == pytest.approx(np.array([[16 / 17, 1 / 17]]))
    assert soften(np.array([[0.8, 0.2]]), 1.0) == pytest.approx(np.array([[0.8, 0.2]]))
    assert soften(np.array([[1.0, 0.0]]), 3.0).sum() == pytest.approx(1.0)


def test_one_hot_puts_all_on_the_label():
    assert one_hot(np.array([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_cross_entropy_is_a_weighted_mean():
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = cross_entropy(logits, target, torch.tensor([3.0, 1.0]))
    assert float(loss) == pytest.approx((3 * np.log(2) + np.log(4)) / 4)


def test_the_scale_that_was_applied_is_found_again():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 4)).astype(np.float32)
    soft = np.exp(2.5 * logits) / np.exp(2.5 * logits).sum(1, keepdims=True)
    assert fit_scale(logits, soft.astype(np.float32)) == pytest.approx(2.5, rel=1e-3)
    soft[100:] = 0.25  # rows that count for nothing change nothing
    only_first = np.repeat(np.float32([1, 0]), 100)
    assert fit_scale(logits, soft.astype(np.float32), only_first) == pytest.approx(2.5, rel=1e-3)
