import numpy as np
import pytest

from models import teachers
from models.errors import BadInput, CorruptModel
from models.evaluate import accuracy
from models.regularisation import (
    C_GRID,
    DEFAULT_C,
    UNSEEN_PROBABILITY,
    Choice,
    choose_regularisation,
    deal_folds,
)
from models.teachers import RAW, LogisticTeacher, column_scaling


def sentences(n, k=4, d=32, noise=1.0, seed=0):
    """Rows of unit length around k directions, as a text encoder gives them."""
    directions = np.random.default_rng(99).normal(size=(k, d))
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    rows = directions[y] + noise * rng.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), y


def fit(X, y, n_classes=4, seed=0, **options):
    return LogisticTeacher.fit(X, y, n_classes, rng=np.random.default_rng(seed), **options)


def test_it_learns_what_there_is_to_learn():
    X, y = sentences(200)
    test, truth = sentences(500, seed=1)
    assert accuracy(truth, fit(X, y).predict_proba(test).argmax(axis=1)) > 0.9


def test_probabilities_cover_all_classes_and_sum_to_one():
    X, y = sentences(60)
    P = fit(X[y < 3], y[y < 3], n_classes=6).predict_proba(X)
    assert P.shape == (60, 6)
    assert P.dtype == np.float32
    assert P.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-5)
    assert (P[:, 3:] == np.float32(UNSEEN_PROBABILITY)).all()
    assert set(P.argmax(axis=1)) <= {0, 1, 2}


def test_a_missing_class_in_the_middle_keeps_the_others_in_their_columns():
    X, y = sentences(200)
    teacher = fit(X[y != 1], y[y != 1])
    assert teacher.seen.tolist() == [0, 2, 3]
    assert accuracy(y[y != 1], teacher.predict_proba(X[y != 1]).argmax(axis=1)) > 0.9


def test_one_class_alone_is_all_that_is_predicted():
    X, _ = sentences(5)
    P = fit(X, np.full(5, 2)).predict_proba(X)
    assert P[:, 2] == pytest.approx(np.full(5, 1 - 3 * UNSEEN_PROBABILITY))


def test_the_same_labels_and_seed_give_the_same_teacher():
    X, y = sentences(80)
    first, second = fit(X, y, seed=5), fit(X, y, seed=5)
    assert np.array_equal(first.coef, second.coef)
    assert (first.C, first.temperature) == (second.C, second.temperature)


def test_arrays_bring_back_the_same_teacher():
    X, y = sentences(80)
    teacher = fit(X, y, n_classes=5)
    again = LogisticTeacher.from_arrays(teacher.arrays())
    assert np.array_equal(again.predict_proba(X), teacher.predict_proba(X))
    assert (again.C, again.chosen_at, again.temperature) == (teacher.C, 80, teacher.temperature)
    with pytest.raises(CorruptModel, match="intercept"):
        LogisticTeacher.from_arrays({k: v for k, v in teacher.arrays().items() if k != "intercept"})


def test_half_precision_memory_maps_are_read_in_chunks_like_any_array(tmp_path):
    X, y = sentences(3000)
    np.save(tmp_path / "pool.npy", X.astype(np.float16))
    pool = np.load(tmp_path / "pool.npy", mmap_mode="r")
    teacher = fit(X[:100], y[:100])
    assert np.array_equal(teacher.predict_proba(pool), teacher.predict_proba(X.astype(np.float16).astype(np.float32)))


def test_C_is_kept_until_labels_have_grown_by_thirty_percent():
    X, y = sentences(200, noise=2.0)
    first = fit(X[:100], y[:100], C=None)
    assert first.chosen_at == 100
    kept = fit(X[:129], y[:129], previous=first, seed=1)
    assert (kept.C, kept.temperature, kept.chosen_at) == (first.C, first.temperature, 100)
    assert fit(X[:130], y[:130], previous=kept, seed=1).chosen_at == 130


def test_a_warm_start_ends_where_a_cold_one_does():
    X, y = sentences(150, noise=2.0)
    first = fit(X[:100], y[:100], C=3.0)
    warm, cold = fit(X, y, C=3.0, previous=first), fit(X, y, C=3.0)
    assert warm.predict_proba(X) == pytest.approx(cold.predict_proba(X), abs=5e-3)


def test_a_warm_start_begins_with_the_previous_decisions_on_any_scale(monkeypatch):
    X, y = sentences(100)
    raw = 7 * X + 3
    first = fit(raw, y, C=3.0, pool=raw)
    begun = {}
    monkeypatch.setattr(teachers, "fit_softmax", lambda Z, *_, start: begun.update(Z=Z, start=start) or start)
    fit(raw, y, C=3.0, previous=first, pool=raw)
    W, b = begun["start"]
    logits = first.predict_proba(raw)
    assert np.array_equal((begun["Z"] @ W.T + b).argmax(axis=1), logits.argmax(axis=1))


def test_a_warm_start_survives_new_classes_and_another_encoder():
    X, y = sentences(150)
    few = fit(X[y < 2], y[y < 2], C=3.0)
    assert fit(X, y, C=3.0, previous=few).predict_proba(X) == pytest.approx(fit(X, y, C=3.0).predict_proba(X), abs=5e-3)
    narrow = fit(X[:, :5], y, C=3.0, previous=few)
    assert narrow.coef.shape == (4, 5)


def test_more_noise_asks_for_more_regularisation():
    chosen = {}
    for noise in (0.5, 6.0):
        X, y = sentences(400, noise=noise)
        chosen[noise] = choose_regularisation({RAW: X}, y, rng=np.random.default_rng(0)).C
    assert chosen[6.0] < chosen[0.5]
    assert set(chosen.values()) <= set(C_GRID)


def test_random_labels_give_probabilities_near_the_prior():
    X, _ = sentences(400)
    y = np.random.default_rng(3).integers(4, size=400)
    assert fit(X, y).predict_proba(sentences(400, seed=9)[0]).max() < 0.6


def test_too_few_labels_to_compare_take_the_first_value():
    X, y = sentences(9)
    assert choose_regularisation({RAW: X}, y, rng=np.random.default_rng(0)) == Choice(RAW, DEFAULT_C, 1.0)


def test_folds_are_stratified_and_differ_by_seed():
    y = np.repeat([0, 1, 2], [10, 15, 5])
    folds = deal_folds(y, None, np.random.default_rng(0))
    for fold in range(5):
        assert np.bincount(y[folds == fold], minlength=3).tolist() == [2, 3, 1]
    assert not np.array_equal(folds, deal_folds(y, None, np.random.default_rng(1)))


@pytest.mark.parametrize(("explored", "tested"), [(29, 100), (30, 30), (60, 60)])
def test_from_thirty_on_only_exploration_labels_are_tested_on(explored, tested):
    mask = np.arange(100) < explored
    folds = deal_folds(np.arange(100) % 4, mask, np.random.default_rng(0))
    assert (folds >= 0).sum() == tested
    if explored >= 30:
        assert (folds[~mask] == -1).all()


def test_rows_of_unit_length_are_left_alone_even_beside_rows_of_zeros():
    X, _ = sentences(50)
    X[3] = 0
    center, scale = column_scaling(X)
    assert not center.any()
    assert (scale == 1).all()


def test_columns_in_one_unit_are_divided_by_one_number():
    X = np.random.default_rng(0).normal(5, [1, 2, 3, 2] * 4, size=(1000, 16)).astype(np.float32)
    center, scale = column_scaling(X)
    assert center == pytest.approx(np.full(16, 5), abs=0.5)
    assert scale == pytest.approx(np.full(16, np.sqrt(4 * (1 + 4 + 9 + 4))), rel=0.05)


def test_columns_of_different_units_are_divided_by_their_own_deviation():
    deviations = np.array([1, 1, 1000, 1000] * 4)
    X = np.random.default_rng(0).normal(0, deviations, size=(1000, 16)).astype(np.float32)
    assert column_scaling(X)[1] == pytest.approx(4 * deviations, rel=0.1)


def test_a_column_of_another_unit_does_not_drown_the_others():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = np.stack([y + 0.1 * rng.normal(size=200), 1e6 * rng.normal(size=200), np.full(200, 7.0)], axis=1)
    assert accuracy(y, fit(X[:40], y[:40], 2, pool=X).predict_proba(X).argmax(axis=1)) > 0.95


def test_one_labelled_row_of_raw_features_is_no_problem():
    P = fit(np.array([[3.0, 4.0]]), [1], 2).predict_proba(np.array([[1e4, -1e4]]))
    assert P[0, 1] == pytest.approx(1 - UNSEEN_PROBABILITY)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.zeros((0, 2)), []),
        (np.zeros((2, 2)), [0]),
        (np.zeros(2), [0, 1]),
        (np.zeros((2, 2)), [0, 4]),
        (np.zeros((2, 2)), [0, -1]),
        (np.array([[np.nan, 1], [0, 1]]), [0, 1]),
    ],
)
def test_what_cannot_be_learned_from_is_refused(X, y):
    with pytest.raises(BadInput):
        fit(X, y)


def test_features_of_another_encoder_are_refused():
    X, y = sentences(20)
    with pytest.raises(BadInput, match="32 columns"):
        fit(X, y).predict_proba(X[:, :5])


def two_views(n, seed=0):
    """Labels that are plain in one view and drowned in noise in the other."""
    clear, y = sentences(n, noise=0.3, seed=seed)
    noisy = sentences(n, noise=30.0, seed=seed)[0]
    return clear, noisy, y


def test_the_view_that_predicts_labels_it_was_not_trained_on_wins():
    clear, noisy, y = two_views(60)
    rows = np.arange(60)
    for views in ({RAW: noisy, "other": clear}, {RAW: clear, "other": noisy}):
        teacher = LogisticTeacher.fit_views(views, rows, y, 4, rng=np.random.default_rng(0))
        assert views[teacher.view] is clear
        assert teacher.losses[teacher.view] < min(loss for name, loss in teacher.losses.items() if name != teacher.view)
        assert accuracy(y, teacher.predict_proba(clear).argmax(axis=1)) > 0.95


def test_the_last_view_is_taken_while_there_is_nothing_to_compare():
    clear, noisy, y = two_views(8)
    teacher = LogisticTeacher.fit_views({RAW: noisy, "other": clear}, np.arange(8), y, 4, rng=np.random.default_rng(0))
    assert (teacher.view, teacher.losses) == ("other", {})


def test_the_first_view_wins_among_equals():
    clear, _, y = two_views(60)
    views = {RAW: clear, "other": clear.copy()}
    assert LogisticTeacher.fit_views(views, np.arange(60), y, 4, rng=np.random.default_rng(0)).view == RAW


def test_a_teacher_knows_whether_it_predicts_better_than_how_often_each_class_occurs():
    def chosen(X, y):
        return LogisticTeacher.fit(X, y, 4, rng=np.random.default_rng(0)).choice

    clear, _, y = two_views(60)
    y[:20] = 3
    blind = np.random.default_rng(1).normal(size=clear.shape).astype(np.float32)
    shares = np.bincount(y) / 60
    for X, by_chance in ((clear, False), (blind, True)):
        assert chosen(X, y).chance == pytest.approx(-(shares * np.log(shares)).sum())
        assert chosen(X, y).by_chance is by_chance
    # One class is there four times: with five folds some are trained on so few of it that nothing is said.
    few = np.concatenate([np.flatnonzero(y != 0), np.flatnonzero(y == 0)[:4]])
    assert (chosen(blind[few], y[few]).chance, chosen(blind[few], y[few]).by_chance) == (None, False)


def test_a_view_stands_until_labels_have_grown_or_it_is_gone():
    clear, noisy, y = two_views(200)

    def fit_on(n, views, previous=None):
        return LogisticTeacher.fit_views(views, np.arange(n), y[:n], 4, rng=np.random.default_rng(0), previous=previous)

    first = fit_on(60, {RAW: noisy, "other": clear})
    assert first.view == "other"
    swapped = {RAW: clear, "other": noisy}
    assert fit_on(70, swapped, first).view == "other"
    assert fit_on(78, swapped, first).view == RAW
    gone = fit_on(70, {RAW: noisy}, first)
    assert (gone.view, gone.chosen_at) == (RAW, 70)


def test_a_teacher_is_kept_with_its_view_and_one_kept_before_there_were_views_is_raw():
    clear, noisy, y = two_views(60)
    teacher = LogisticTeacher.fit_views({RAW: noisy, "other": clear}, np.arange(60), y, 4, rng=np.random.default_rng(0))
    again = LogisticTeacher.from_arrays(teacher.arrays())
    assert (again.view, again.losses) == ("other", teacher.losses)
    assert again.chance == teacher.chance is not None
    old = {name: array for name, array in teacher.arrays().items() if name != "view"}
    assert LogisticTeacher.from_arrays(old).view == RAW
