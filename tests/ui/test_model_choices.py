"""Choosing teacher, student and device among a project's settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from client import Client, Project
from tests.ui.servers import ApiServer
from ui.session import Visitor
from ui.views.model_choices import BadProfile, Wanted, words_list
from ui.views.model_words import STUDENTS, TEACHERS, of_student, of_teacher
from winnow.classifiers import ClassifierEntry
from winnow.project_settings import STUDENTS as NAMED_STUDENTS
from winnow.project_settings import TEACHERS as NAMED_TEACHERS


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """The program of the process is what it was afterwards: a page that is tested takes its place."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


PROFILE = {"machine": "a small one", "families": {"static": {"p50_ms": 0.5}}}


def project(**settings: Any) -> Project:
    return Project(id="1", name="mail", task="text", labels=[], settings=settings)


def test_each_name_that_the_service_knows_has_its_words_and_no_other_has() -> None:
    assert set(TEACHERS) == {name for names in NAMED_TEACHERS.values() for name in names}
    assert set(STUDENTS) == {name for names in NAMED_STUDENTS.values() for name in names}
    for words in (*TEACHERS.values(), *STUDENTS.values()):
        assert all(words)


def test_what_the_operator_registered_is_said_by_what_it_stands_for() -> None:
    forest = {"name": "sklearn:forest", "registered": True, "model": "sklearn.ensemble.RandomForestClassifier"}
    assert of_teacher(forest).short == "RandomForestClassifier"
    assert of_teacher({"name": "llm:far", "registered": True, "model": "m-1"}).short == "m-1"


def test_a_name_of_a_newer_service_is_offered_without_words() -> None:
    assert "know no more" in of_student({"name": "tomorrow"}).what
    assert "know no more" in of_teacher({"name": "tomorrow", "registered": False}).what


def test_the_list_says_what_each_is_and_costs_and_shows_names_as_they_stand() -> None:
    lines = words_list("Students", [{"name": "a*b"}, {"name": "mlp"}], of_student).splitlines()
    assert lines[0] == "**Students**"
    assert lines[2].startswith(r"- **a\*b**: ")
    assert lines[3] == r"- **mlp**: Standardised features, a hidden layer, a linear one\. *Costs:* Seconds a round\."


def test_limits_are_laid_over_the_budget_and_none_takes_them_out() -> None:
    there = project(budget={"labels": 100, "llm_cost": 1.0})
    assert Wanted("llm:far", "auto", limits={"llm_cost": 2.5, "llm_calls": 0}).changes(there) == {
        "teacher": "llm:far",
        "student": "auto",
        "budget": {"labels": 100, "llm_cost": 2.5},
        "device": None,
        "cold_retrain": True,
    }
    assert Wanted("auto", "auto", limits={"llm_cost": 0.0, "llm_calls": 7}).changes(there)["budget"] == {
        "labels": 100,
        "llm_calls": 7,
    }


def test_a_profile_counts_in_place_of_the_choice_and_what_is_none_is_refused() -> None:
    there = project(device=PROFILE)
    assert "device" not in Wanted("auto", "auto", here=False).changes(there), "it stays"
    assert Wanted("auto", "auto", here=True).changes(there)["device"] is None
    assert Wanted("auto", "auto", profile='{"machine": "x"}').changes(there)["device"] == {"machine": "x"}
    for wrong in ("p50 = 3", "[1]"):
        with pytest.raises(BadProfile, match="Nothing was saved"):
            Wanted("auto", "auto", profile=wrong).changes(there)


# --- the page, over a real API ---------------------------------------------------------------------------------


@pytest.fixture
def registered(api_server: ApiServer) -> Iterator[None]:
    """The operator has registered ``sklearn:forest``."""
    state = api_server.app.state
    before = state.settings
    forest = ClassifierEntry.model_validate({"class": "sklearn.ensemble.RandomForestClassifier"})
    state.settings = before.model_copy(update={"classifiers": {"forest": forest}})
    yield
    state.settings = before


def settings_page(client: Client, project_id: str) -> AppTest:
    def script(visitor: object) -> None:  # run from its text: it knows only what it imports
        from ui.views.project_settings import project_settings

        project_settings(visitor)  # type: ignore[arg-type]

    page = AppTest.from_function(script, args=(Visitor(client, client.me()),), default_timeout=60)
    page.query_params["project"] = project_id
    return page.run()


def field(page: AppTest, kind: str, label: str) -> Any:
    [found] = [widget for widget in getattr(page, kind) if widget.label == label]
    return found


def save(page: AppTest) -> AppTest:
    [button] = [button for button in page.button if button.label == "Save"]
    return button.click().run()


@pytest.mark.usefixtures("registered")
def test_teacher_and_student_are_chosen_among_what_the_service_offers(
    owner: Client, make_project: Callable[..., Project]
) -> None:
    made = make_project([])
    page = settings_page(owner, made.id)
    assert not page.exception
    teacher, student = field(page, "selectbox", "Teacher"), field(page, "selectbox", "Student")
    assert (teacher.value, student.value) == ("auto", "auto")
    assert teacher.options[0] == "auto (default): chosen by measuring"
    assert teacher.options[-1] == "sklearn:forest: RandomForestClassifier"
    assert [option.partition(":")[0] for option in student.options] == [
        "auto (default)",
        *NAMED_STUDENTS["text"][1:],
    ]
    told = "\n".join(text.value for text in page.markdown)
    assert "117 CPU\\-seconds with 400 labels" in told
    assert "sklearn\\:forest" in told
    teacher.select("sklearn:forest")
    student.select("hashed")
    afresh = field(page, "checkbox", "Try students that are trained afresh, in the background")
    assert afresh.value
    afresh.uncheck()
    page = save(page)
    assert [word.value for word in page.success] == ["Saved."]
    settings = owner.project(made.id).settings
    assert (settings["teacher"], settings["student"], settings["device"]) == ("sklearn:forest", "hashed", None)
    assert settings["cold_retrain"] is False


def test_a_device_is_described_by_its_profile_kept_and_taken_back(
    owner: Client, make_project: Callable[..., Project]
) -> None:
    made = make_project([], budget={"labels": 500})
    page = settings_page(owner, made.id)
    field(page, "text_area", "Profile of the device").input(
        '{"machine": "a small one", "cores": 4, "families": {"static": {"p50_ms": 0.5, "p95_ms": 1}}}'
    )
    field(page, "number_input", "Most ms an item").set_value(0.25)
    page = save(page)
    settings = owner.project(made.id).settings
    assert settings["device"] == PROFILE
    assert settings["budget"] == {"labels": 500, "student_ms": 0.25}
    device = field(page, "selectbox", "Device that the student is for")
    assert device.value == "As profiled: a small one"
    page = save(page)
    assert owner.project(made.id).settings["device"] == PROFILE, "what is left alone stays"
    field(page, "selectbox", "Device that the student is for").select_index(0)
    save(page)
    assert owner.project(made.id).settings["device"] is None


def test_what_the_service_refuses_is_said_in_words_and_nothing_is_changed(
    owner: Client, make_project: Callable[..., Project]
) -> None:
    made = make_project([], encoder="hashed")
    page = settings_page(owner, made.id)
    field(page, "selectbox", "Student").select("transformer-2")
    page = save(page)
    [error] = page.error
    assert error.value.startswith("The student is cut from the encoder, and hashed has no layers")
    field(page, "selectbox", "Student").select("auto")
    field(page, "text_area", "Profile of the device").input("p50 = 3")
    page = save(page)
    assert "Nothing was saved" in page.error[0].value
    field(page, "text_area", "Profile of the device").input('{"machine": "x"}')
    page = save(page)
    assert page.error[0].value.startswith("The device must be null, or the object")
    settings = owner.project(made.id).settings
    assert (settings["student"], settings["device"]) == ("auto", None)
