"""The operator's registry of classifiers, and which teachers a project may name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from winnow.classifiers import classifier_names, classifier_of
from winnow.errors import Invalid
from winnow.project_settings import TEACHERS, validate_settings
from winnow.settings import Settings

FOREST = {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 50}}


def test_the_registry_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_CLASSIFIERS", json.dumps({"forest": FOREST, "bayes": "sklearn.naive_bayes.GaussianNB"}))
    registered = Settings().classifiers
    assert classifier_names(registered) == ("sklearn:bayes", "sklearn:forest")
    assert classifier_of("sklearn:forest", registered) == FOREST
    assert classifier_of("sklearn:bayes", registered) == {"class": "sklearn.naive_bayes.GaussianNB", "params": {}}
    assert classifier_of("sklearn:other", registered) is None
    assert classifier_of("forest", registered) is None


@pytest.mark.parametrize(
    "entries",
    [
        {"a b": "sklearn.svm.SVC"},
        {"a" * 41: "sklearn.svm.SVC"},
        {"a": "os.system"},
        {"a": "sklearn_evil.SVC"},
        {"a": "sklearn.svm.SVC; import os"},
        {"a": "sklearn.svm._base.__import__"},
        {"a": {"params": {}}},
        {"a": {"class": "sklearn.svm.SVC", "pickle": "x"}},
        {"a": {"class": "sklearn.ensemble.BaggingClassifier", "params": {"estimator": {"class": "os.system"}}}},
        {"a": {"class": "modAL.models.Committee", "params": {"learners": [{"class": "modAL.models.Evil"}]}}},
        {"a": {"class": "modAL.models.BayesianOptimizer"}},
    ],
)
def test_an_entry_that_cannot_be_is_refused_at_the_start(entries: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(classifiers=entries)


@pytest.mark.parametrize("task", ["text", "image", "features"])
def test_a_project_may_name_the_teachers_of_its_task_and_those_that_are_registered(task: str) -> None:
    for teacher in (*TEACHERS[task], "sklearn:forest"):
        assert validate_settings({"teacher": teacher}, task, teachers=("sklearn:forest",))["teacher"] == teacher


@pytest.mark.parametrize(
    ("task", "teacher"),
    [
        ("text", "sklearn:other"),
        ("text", "sklearn.svm.SVC"),
        ("text", "sklearn:sklearn.svm.SVC"),
        ("text", ["lexical"]),
        ("image", "lexical"),
        ("features", "prototypes"),
        ("features", "stacked"),
    ],
)
def test_what_is_not_is_refused_with_what_there_is(task: str, teacher: Any) -> None:
    with pytest.raises(Invalid, match=r"teacher must be one of auto, logistic.*sklearn:forest") as raised:
        validate_settings({"teacher": teacher}, task, teachers=("sklearn:forest",))
    assert [error.loc for error in raised.value.errors] == [("body", "settings", "teacher")]


def test_a_project_keeps_its_teacher_when_the_registry_shrinks() -> None:
    before = validate_settings({"teacher": "sklearn:forest"}, "features", teachers=("sklearn:forest",))
    after = validate_settings({"teacher": "sklearn:forest", "overlap": 2}, "features", before)
    assert (after["teacher"], after["overlap"]) == ("sklearn:forest", 2)
    with pytest.raises(Invalid):
        validate_settings({"teacher": "sklearn:other"}, "features", before)
