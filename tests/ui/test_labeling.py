"""The labeling surface in a real Chromium: what is pressed is what is saved, on the item that was on screen."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from client import Client, Project
from tests.ui.servers import ApiServer, UiProcess, wait_until
from tests.ui.watch import on_screen, open_labeling, press_log, wait_saved

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("enter")]

PRESSES = 50
APART_SECONDS = 0.030

MakeProject = Callable[..., Project]


def standing(owner: Client, project: Project) -> dict[str, dict[str, Any]]:
    """The standing decisions of a project by item."""
    return {row["item"]: row for row in owner.iter_labels(project.id)}


def test_fifty_presses_thirty_milliseconds_apart_give_fifty_labels_each_on_the_item_that_was_on_screen(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject, tell: Callable[[str], None]
) -> None:
    project = make_project([f"message number {i}" for i in range(200)])
    open_labeling(page, ui.url, project.id)
    keys = [str(1 + i * 7 % 3) for i in range(PRESSES)]
    start = time.perf_counter()
    for i, key in enumerate(keys):
        page.wait_for_timeout(max(0.0, (start + i * APART_SECONDS - time.perf_counter()) * 1000))
        page.keyboard.press(key)
    wait_saved(page)

    log = press_log(page)
    labels = standing(owner, project)
    assert [entry["key"] for entry in log] == keys
    assert len({entry["item"] for entry in log}) == PRESSES
    names = {"1": "spam", "2": "ham", "3": "other"}
    assert {item: row["label"] for item, row in labels.items()} == {entry["item"]: names[entry["key"]] for entry in log}
    texts = {entry["item"]: entry["text"] for entry in log}
    assert {item: owner.item(project.id, item)["text"] for item in texts} == texts
    painted = sorted(entry["painted"] for entry in log if "painted" in entry)
    tell(
        f"next item painted after {statistics.median(painted):.1f} ms (median), "
        f"{painted[int(0.95 * (len(painted) - 1))]:.1f} ms (95th percentile), {len(painted)} presses"
    )


def test_a_label_says_how_long_it_took_and_under_which_lease(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two"])
    open_labeling(page, ui.url, project.id)
    with page.expect_request("**/labels") as sent:
        page.keyboard.press("1")
    (entry,) = sent.value.post_data_json["labels"]
    wait_saved(page)
    assert set(entry) == {"item", "label", "seconds", "request_id", "lease"}
    assert 0 < entry["seconds"] < 60
    (row,) = standing(owner, project).values()
    assert (row["label"], row["seconds"], row["user"]) == ("spam", entry["seconds"], owner.me().email)


def test_a_key_that_is_held_down_is_one_decision(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two", "three"])
    open_labeling(page, ui.url, project.id)
    for _ in range(3):
        page.keyboard.down("1")
    page.keyboard.up("1")
    wait_saved(page)
    assert len(standing(owner, project)) == 1


def test_clicking_a_label_works_as_its_key_does(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two", "three"])
    open_labeling(page, ui.url, project.id)
    page.get_by_role("button", name="ham").click()
    page.keyboard.press("1")
    wait_saved(page)
    assert sorted(row["label"] for row in standing(owner, project).values()) == ["ham", "spam"]


def test_a_skip_is_saved_as_a_skip_and_the_next_item_comes(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two"])
    open_labeling(page, ui.url, project.id)
    first = on_screen(page)
    page.keyboard.press("s")
    expect(page.locator(".annotator .text")).not_to_have_text(first)
    wait_saved(page)
    (row,) = standing(owner, project).values()
    assert (row["skip"], row["label"]) == (True, None)


def test_a_flag_carries_its_reason(page: Page, ui: UiProcess, owner: Client, make_project: MakeProject) -> None:
    project = make_project(["one", "two"])
    open_labeling(page, ui.url, project.id)
    page.keyboard.press("f")
    page.keyboard.type("s1 is not English")  # keys in a field are text, not decisions
    page.keyboard.press("Enter")
    wait_saved(page)
    (row,) = standing(owner, project).values()
    assert row["flag"] == "s1 is not English"


@pytest.mark.parametrize("saved_first", [True, False])
def test_undo_brings_the_item_back_and_its_label_goes(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject, saved_first: bool
) -> None:
    project = make_project(["one", "two", "three"])
    open_labeling(page, ui.url, project.id)
    first = on_screen(page)
    page.keyboard.press("1")
    if saved_first:
        wait_saved(page)
    page.keyboard.press("u")
    assert on_screen(page) == first
    wait_saved(page)
    assert standing(owner, project) == {}
    page.keyboard.press("2")
    wait_saved(page)
    (row,) = standing(owner, project).values()
    assert (row["label"], owner.item(project.id, row["item"])["text"]) == ("ham", first)


def test_an_undo_right_after_a_press_changes_the_label_and_never_the_item(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project([f"message {i}" for i in range(30)])
    open_labeling(page, ui.url, project.id)
    seen = []
    for _ in range(10):
        seen.append(on_screen(page))
        page.keyboard.press("1")
        page.keyboard.press("Backspace")
        page.keyboard.press("2")
    wait_saved(page)
    rows = standing(owner, project)
    assert {owner.item(project.id, item)["text"] for item in rows} == set(seen)
    assert {row["label"] for row in rows.values()} == {"ham"}


def test_a_reload_picks_up_where_one_was(page: Page, ui: UiProcess, owner: Client, make_project: MakeProject) -> None:
    project = make_project([f"message {i}" for i in range(100)])
    open_labeling(page, ui.url, project.id)
    for _ in range(3):
        page.keyboard.press("1")
    wait_saved(page)
    coming = page.locator(".annotator .card").get_attribute("data-item")
    held = [row["item"]["id"] for row in owner.leases(project.id)]
    open_labeling(page, ui.url, project.id)
    order = []
    for _ in range(5):
        order.append(page.locator(".annotator .card").get_attribute("data-item"))
        page.keyboard.press("2")
    wait_saved(page)
    assert order[0] == coming
    assert order == held[:5]


def test_without_the_server_it_says_what_is_not_saved_and_loses_nothing_when_it_comes_back(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject, api_server: ApiServer
) -> None:
    project = make_project([f"message {i}" for i in range(60)])
    open_labeling(page, ui.url, project.id)
    page.keyboard.press("1")
    wait_saved(page)
    api_server.stop()
    try:
        for _ in range(4):
            page.keyboard.press("2")
        expect(page.locator(".annotator .state")).to_have_text("offline – will retry, 4 not yet saved")
    finally:
        api_server.start()
    wait_saved(page)
    assert sorted(row["label"] for row in standing(owner, project).values()) == ["ham"] * 4 + ["spam"]


def test_what_was_not_saved_survives_a_reload_and_is_not_doubled(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject, api_server: ApiServer
) -> None:
    project = make_project([f"message {i}" for i in range(60)])
    open_labeling(page, ui.url, project.id)
    arrived: list[int] = []

    def lose_answer(route: Route) -> None:
        if not arrived:
            arrived.append(route.fetch().status)
        route.abort()

    page.route("**/labels", lose_answer)
    page.keyboard.press("2")  # it arrives, and its answer is lost: the page cannot know
    expect(page.locator(".annotator .state")).to_contain_text("offline")
    assert arrived == [201]
    api_server.stop()
    page.unroute("**/labels")
    try:
        page.keyboard.press("2")
        page.keyboard.press("2")
        expect(page.locator(".annotator .state")).to_have_text("offline – will retry, 3 not yet saved")
        page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?": it warns while something is unsent
        page.reload()
        expect(page.get_by_text("The server does not answer yet")).to_be_visible()
    finally:
        api_server.start()
    page.reload()
    expect(page.locator(".annotator .card[data-item]")).to_be_visible()
    wait_saved(page)
    rows = list(owner.iter_labels(project.id, all=True))
    assert [row["label"] for row in rows] == ["ham"] * 3
    assert len({row["item"] for row in rows}) == 3


def test_a_refused_label_is_shown_with_its_reason_and_its_item_comes_again(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two", "three"])
    open_labeling(page, ui.url, project.id)
    first = on_screen(page)

    def refuse(route: Route) -> None:
        (entry,) = route.request.post_data_json["labels"]
        answer = {"accepted": [], "rejected": [{"item": entry["item"], "reason": "not today"}]}
        route.fulfill(status=201, json=answer)

    page.route("**/labels", refuse, times=1)
    page.keyboard.press("1")
    expect(page.locator(".annotator .notice")).to_contain_text("not today")
    assert on_screen(page) != first  # what is being looked at does not change under the hand
    page.keyboard.press("2")
    expect(page.locator(".annotator .text")).to_have_text(first)
    wait_saved(page)


def test_markup_in_an_item_is_shown_as_text_and_does_nothing(
    page: Page, ui: UiProcess, make_project: MakeProject
) -> None:
    evil = '<img src=x onerror="window.broken=1"><script>window.broken=1</script><b>bold</b> & $x$'
    project = make_project([evil], labels=("<i>a</i>", "b"))
    open_labeling(page, ui.url, project.id)
    assert on_screen(page) == evil
    assert page.locator(".annotator .item").locator("img, script, b").count() == 0
    expect(page.get_by_role("button", name="<i>a</i>")).to_be_visible()
    assert page.evaluate("window.broken") is None


def test_when_nothing_is_left_it_says_so_and_shows_what_comes_later(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["only one"])
    open_labeling(page, ui.url, project.id)
    page.keyboard.press("1")
    expect(page.locator(".annotator .wait")).to_contain_text("Nothing left for you to label")
    page.keyboard.press("1")  # nothing on screen: nothing is labeled
    wait_saved(page)
    owner.add_items(project.id, [{"text": "a late one"}])
    expect(page.locator(".annotator .text")).to_have_text("a late one")
    assert len(standing(owner, project)) == 1


def test_a_second_tab_waits_until_it_is_asked_to_take_over(
    page: Page, ui: UiProcess, make_project: MakeProject, owner: Client
) -> None:
    project = make_project([f"message {i}" for i in range(30)])
    open_labeling(page, ui.url, project.id)
    second = page.context.new_page()
    second.goto(f"{ui.url}/label?project={project.id}")
    expect(second.locator(".annotator .notice")).to_contain_text("in another tab")
    second.get_by_role("button", name="Continue here").click()
    expect(second.locator(".annotator .card[data-item]")).to_be_visible()
    expect(page.locator(".annotator .notice")).to_contain_text("in another tab")
    page.keyboard.press("1")
    second.keyboard.press("2")
    wait_saved(second)
    wait_until(lambda: len(standing(owner, project)) == 1, "the second tab's label is there")
    assert [row["label"] for row in standing(owner, project).values()] == ["ham"]


def test_labels_that_are_single_characters_are_their_own_keys(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two", "three"], labels=tuple("0123456789"))
    open_labeling(page, ui.url, project.id)
    for key in "07":
        page.keyboard.press(key)
    wait_saved(page)
    assert sorted(row["label"] for row in standing(owner, project).values()) == ["0", "7"]


def test_more_labels_than_digits_can_be_found_by_name(
    page: Page, ui: UiProcess, owner: Client, make_project: MakeProject
) -> None:
    project = make_project(["one", "two"], labels=tuple(f"intent {i:02d}" for i in range(40)))
    open_labeling(page, ui.url, project.id)
    page.keyboard.press("/")
    page.keyboard.type("37")
    page.keyboard.press("Enter")
    wait_saved(page)
    assert [row["label"] for row in standing(owner, project).values()] == ["intent 37"]
