"""Comparing samples as a student sees them."""

from __future__ import annotations

import numpy as np
import pytest

from worker.drift import Seen, compare, energy_test, in_words

NAMES = ("news", "sport")


def seen(rng: np.random.Generator, n: int, share: float, novel: float = 0.05, sure: float = 8.0) -> Seen:
    """``share`` of ``n`` rows are sport by the student, ``novel`` of them unlike the pool."""
    sport = np.clip(np.where(rng.random(n) < share, rng.beta(sure, 1, n), rng.beta(1, sure, n)), 1e-6, 1 - 1e-6)
    return Seen(np.column_stack([1 - sport, sport]), np.where(rng.random(n) < novel, 1.5, 0.5))


def test_samples_of_one_distribution_are_called_different_as_rarely_as_was_said() -> None:
    rng = np.random.default_rng(5)
    p_values = [energy_test(rng.random((40, 2)), rng.random((25, 2)), rng) for _ in range(100)]
    assert np.mean(np.array(p_values) <= 0.1) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 100)
    assert 0.35 < np.mean(p_values) < 0.65


def test_a_shift_of_classes_is_found_and_its_size_is_inside_the_interval() -> None:
    rng = np.random.default_rng(1)
    found = compare(seen(rng, 800, 0.1), seen(rng, 600, 0.35), NAMES, rng)
    assert found["drifted"]
    assert found["p_value"] == 0.001
    sport = found["classes"]["sport"]
    assert sport["low"] < 0.25 < sport["high"]
    assert found["classes"]["news"]["high"] < 0
    words = in_words(found, 1234, 3)
    assert words.startswith("The 1,234 newest items differ from the pool: ")
    assert "are “sport” by the student" in words


def test_novel_words_are_found_though_the_student_is_as_sure_as_ever() -> None:
    rng = np.random.default_rng(2)
    found = compare(seen(rng, 500, 0.3), seen(rng, 500, 0.3, novel=0.3), NAMES, rng)
    assert found["drifted"]
    assert found["p_value"] > 0.005
    assert "unlike nearly all of the pool" in in_words(found, 500, 1)


def test_less_confidence_is_found() -> None:
    rng = np.random.default_rng(3)
    found = compare(seen(rng, 500, 0.3), seen(rng, 500, 0.3, sure=2.0), NAMES, rng)
    assert found["drifted"]
    assert found["confidence"]["high"] < 0
    assert "its mean confidence is" in in_words(found, 500, 1)


def test_where_nothing_differs_it_says_so() -> None:
    rng = np.random.default_rng(4)
    found = compare(seen(rng, 600, 0.3), seen(rng, 400, 0.3), NAMES, rng)
    assert not found["drifted"]
    assert all(d["low"] < 0 < d["high"] for d in (*found["classes"].values(), found["confidence"], found["novelty"]))
    assert in_words(found, 400, 2).startswith("Student v2 sees no difference between the 400 newest items and the pool")


def test_one_item_is_no_sample() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two items"):
        compare(seen(rng, 1, 0.5), seen(rng, 9, 0.5), NAMES, rng)
