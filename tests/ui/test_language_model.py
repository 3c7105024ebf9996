"""What the pages say of language models, and what they let one choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from client import Client, Project
from tests.ui.servers import ApiServer, UiProcess
from tests.ui.watch import choose
from ui.views.language_model import describe, notice
from winnow.llm_endpoints import LlmEndpoint

FAR = {
    "name": "llm:far", "model": "m", "host": "api.example.org", "on_this_machine": False, "encrypted": True,
    "price_in": 0.15, "price_out": 0.6, "currency": "USD", "project_cost": 2.0, "items_per_round": 50,
}  # fmt: skip


def project(**settings: Any) -> Project:
    return Project(id="1", name="mail", task="text", labels=[], settings=settings)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {},
            "Texts of this project leave this machine: items, labelled examples and guidelines are sent to api.example",
        ),
        ({"encrypted": False}, "(llm:far, m), unencrypted. Held-out items are not."),
        ({"on_this_machine": True}, "Texts of this project are sent to m (llm:far) on this machine."),
        ({"name": "llm:other"}, "which is not registered here: nothing is sent"),
    ],
)
def test_a_project_that_asks_one_says_where_its_texts_go(changed: dict[str, Any], says: str) -> None:
    told = notice(project(teacher="llm:far"), [{**FAR, **changed}])
    assert told is not None
    assert says in told


def test_a_project_that_asks_none_says_nothing() -> None:
    assert notice(project(teacher="auto"), [FAR]) is None
    assert notice(project(), [FAR]) is None


def test_it_is_said_before_one_is_chosen() -> None:
    assert describe(FAR) == (
        "llm:far: m, texts leave this machine for api.example.org; 50 items a round; "
        "0.15 and 0.6 USD a million tokens in and out, 2 USD a project at most."
    )
    assert "m, on this machine;" in describe({**FAR, "on_this_machine": True})


@pytest.fixture
def registered(api_server: ApiServer) -> Iterator[None]:
    """The operator has registered ``llm:far``."""
    state = api_server.app.state
    before = state.settings
    far = LlmEndpoint(url="https://api.example.org/v1", model="m", price_in=0.15, price_out=0.6, project_cost=2.0)
    state.settings = before.model_copy(update={"llm_endpoints": {"far": far}})
    yield
    state.settings = before


@pytest.mark.usefixtures("enter", "registered")
@pytest.mark.browser
def test_one_is_chosen_in_the_settings_and_both_pages_then_say_where_texts_go(
    page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
) -> None:
    made = make_project(["one", "two"])
    page.goto(f"{ui.url}/settings?project={made.id}")
    expect(page.get_by_text(describe(FAR))).to_be_visible()
    choose(page, "Teacher", "llm:far")
    page.get_by_role("spinbutton", name="Most that the language model").fill("2.5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    settings = owner.project(made.id).settings
    assert (settings["teacher"], settings["budget"]) == ("llm:far", {"llm_cost": 2.5})
    leaves = "Texts of this project leave this machine"
    expect(page.get_by_role("alert").filter(has_text=leaves)).to_be_visible()
    page.goto(f"{ui.url}/rounds?project={made.id}")
    expect(page.get_by_text(leaves)).to_be_visible()
