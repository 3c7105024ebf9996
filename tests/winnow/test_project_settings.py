"""Settings of a project: defaults and limits."""

from __future__ import annotations

from typing import Any

import pytest

from winnow.errors import Invalid
from winnow.project_settings import BUDGETS, default_settings, validate_settings


def test_nothing_given_is_the_defaults() -> None:
    assert validate_settings({}, "text") == default_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 20),
        ("strategy", "clustered_margin"),
        ("overlap", 3),
        ("holdout", False),
        ("holdout", 0.2),
        ("holdout", {"precision": 0.03}),
        ("lease_seconds", 1),
        ("encoder", "minilm"),
        ("teacher", "logistic"),
        ("teacher", "finetuned-lora"),
        ("student", "hashed"),
        ("student", "transformer-2"),
        ("budget", {"labels": 500, "cpu_minutes": 1.5}),
        ("collect", True),
        ("cold_retrain", False),
    ],
)
def test_a_good_value_is_kept(name: str, value: Any) -> None:
    assert validate_settings({name: value}, "text") == {**default_settings(), name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", "big"),
        ("batch_size", 1.5),
        ("batch_size", None),
        ("strategy", "os.system"),
        ("strategy", ["auto"]),
        ("overlap", 0),
        ("overlap", True),
        ("overlap", "1"),
        ("overlap", float("inf")),
        ("holdout", 0),
        ("holdout", True),
        ("holdout", 1),
        ("holdout", {"precision": 0}),
        ("holdout", {"precision": 0.1, "more": 1}),
        ("lease_seconds", 10**9),
        ("encoder", "/etc/passwd"),
        ("encoder", "patches"),
        ("teacher", "sklearn.svm.SVC"),
        ("student", "mlp"),
        ("budget", []),
        ("budget", {"euros": 1}),
        ("budget", {"labels": -1}),
        ("budget", {"labels": float("nan")}),
        ("collect", "yes"),
        ("cold_retrain", "no"),
        ("collect", 1),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as raised:
        validate_settings({name: value}, "text")
    assert [error.loc for error in raised.value.errors] == [("body", "settings", name)]


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["huge", "hugely negative"])
def test_an_integer_that_no_float_can_hold_is_refused(number: int) -> None:
    limits: list[tuple[str, Any]] = [("budget", {name: number}) for name in BUDGETS]
    plain = [(name, number) for name in ("overlap", "batch_size", "lease_seconds", "holdout")]
    for name, value in [*plain, ("holdout", {"precision": number}), *limits]:
        with pytest.raises(Invalid) as raised:
            validate_settings({name: value}, "text")
        assert [error.loc for error in raised.value.errors] == [("body", "settings", name)]


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(Invalid) as raised:
        validate_settings({"overlap": 0, "nothing": 1, "strategy": "margin"}, "text")
    assert [error.loc[-1] for error in raised.value.errors] == ["overlap", "nothing"]


@pytest.mark.parametrize(
    ("task", "encoder", "student"),
    [("text", "hashed", "hashed"), ("image", "patches", "convnet"), ("features", "none", "mlp")],
)
def test_encoders_and_students_belong_to_a_task(task: str, encoder: str, student: str) -> None:
    given = {"encoder": encoder, "student": student}
    assert validate_settings(given, task).items() >= given.items()
    for other in {"text", "image", "features"} - {task}:
        with pytest.raises(Invalid):
            validate_settings({"encoder": encoder}, other)


def test_a_transformer_student_needs_an_encoder_with_layers() -> None:
    assert validate_settings({"student": "transformer-1", "encoder": "minilm"}, "text")["student"] == "transformer-1"
    with pytest.raises(Invalid, match="hashed has no layers: set encoder to minilm") as raised:
        validate_settings({"student": "transformer-1", "encoder": "hashed"}, "text")
    assert [error.loc[-1] for error in raised.value.errors] == ["student"]
    before = validate_settings({"student": "transformer-1"}, "text")
    with pytest.raises(Invalid):
        validate_settings({"encoder": "hashed"}, "text", before)
    with pytest.raises(Invalid):
        validate_settings({"student": "transformer-1"}, "image")


def test_what_is_given_is_laid_over_what_was() -> None:
    before = validate_settings({"overlap": 2, "lease_seconds": 60}, "text")
    assert validate_settings({"overlap": 3}, "text", before) == {**before, "overlap": 3}


@pytest.mark.parametrize("task", ["image", "features"])
def test_only_texts_have_an_encoder_that_can_be_fine_tuned(task: str) -> None:
    with pytest.raises(Invalid, match="teacher must be one of auto, logistic"):
        validate_settings({"teacher": "finetuned"}, task)


PROFILE = {"machine": "Small CPU", "cores": 4, "families": {"static": {"p50_ms": 0.2, "p95_ms": 0.3}}}


def test_a_device_is_what_a_profile_says_of_it() -> None:
    kept = validate_settings({"device": PROFILE}, "text")["device"]
    assert kept == {"machine": "Small CPU", "families": {"static": {"p50_ms": 0.2}}}
    assert validate_settings({"device": None}, "text", {"device": kept})["device"] is None


@pytest.mark.parametrize(
    "device",
    [
        "laptop",
        {},
        {"families": {}},
        {"families": {"static": {}}},
        {"families": {"static": {"p50_ms": 0}}},
        {"families": {"static": {"p50_ms": "fast"}}},
        {"families": {str(n): {"p50_ms": 1} for n in range(21)}},
    ],
)
def test_what_is_no_profile_is_refused(device: object) -> None:
    with pytest.raises(Invalid, match="winnow profile --json"):
        validate_settings({"device": device}, "text")
