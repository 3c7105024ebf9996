"""The teachers and the families of students to choose from, over HTTP."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from tests.api.conftest import make_project
from winnow.classifiers import ClassifierEntry
from winnow.llm_endpoints import LlmEndpoint
from winnow.project_settings import STUDENTS, TASKS, TEACHERS


@pytest.fixture
def registered(app: FastAPI) -> None:
    """The operator has registered ``sklearn:forest`` and ``llm:far``."""
    forest = ClassifierEntry.model_validate({"class": "sklearn.ensemble.RandomForestClassifier"})
    far = LlmEndpoint(url="https://api.example.org/v1", model="m")
    more = {"classifiers": {"forest": forest}, "llm_endpoints": {"far": far}}
    app.state.settings = app.state.settings.model_copy(update=more)


def listed(owner: httpx.Client, path: str) -> list[dict[str, object]]:
    answer = owner.get(path).json()
    assert answer["next"] is None
    return list(answer["data"])


def test_ours_come_first_and_then_what_the_operator_registered(registered: None, owner: httpx.Client) -> None:
    found = listed(owner, "/teachers")
    assert [entry["name"] for entry in found] == [*TEACHERS["text"], "sklearn:forest", "llm:far"]
    assert found[0] == {"name": "auto", "tasks": list(TASKS), "registered": False, "model": None}
    assert found[2] == {"name": "lexical", "tasks": ["text"], "registered": False, "model": None}
    assert found[-2:] == [
        {
            "name": "sklearn:forest",
            "tasks": list(TASKS),
            "registered": True,
            "model": "sklearn.ensemble.RandomForestClassifier",
        },
        {"name": "llm:far", "tasks": ["text"], "registered": True, "model": "m"},
    ]


def test_families_of_students_say_which_items_they_read(owner: httpx.Client) -> None:
    found = {str(entry["name"]): entry["tasks"] for entry in listed(owner, "/student-families")}
    assert list(found) == list(dict.fromkeys(name for names in STUDENTS.values() for name in names))
    assert (found["auto"], found["static"], found["convnet"]) == (list(TASKS), ["text"], ["image"])


@pytest.mark.parametrize("task", TASKS)
def test_whatever_is_listed_for_a_kind_of_project_may_be_chosen_and_nothing_else(
    registered: None, owner: httpx.Client, task: str
) -> None:
    project = make_project(owner, task=task)["id"]
    for setting, path in (("teacher", "/teachers"), ("student", "/student-families")):
        for entry in listed(owner, path):
            change = {"settings": {setting: entry["name"]}}
            answer = owner.patch(f"/projects/{project}", json=change)
            tasks = entry["tasks"]
            assert isinstance(tasks, list)
            assert answer.status_code == (200 if task in tasks else 422), (task, entry)
