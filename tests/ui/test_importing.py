"""From nothing to the first label: a project, a dropped file, and labeling while the rest goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from client import Client
from tests.ui.servers import UiProcess
from tests.ui.watch import wait_saved

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("enter")]


def new_project(page: Page, ui: UiProcess, name: str, labels: str, task: str = "Texts") -> str:
    """Make a project as a person does; gives its id, with its import page open."""
    page.goto(f"{ui.url}/new")
    page.get_by_label("Name").fill(name)
    page.get_by_text(task, exact=True).click()
    page.get_by_label("Labels, one per line").fill(labels)
    page.get_by_role("button", name="Create and add data").click()
    page.wait_for_url("**/import?project=*")
    return page.url.rsplit("=", 1)[1]


def drop(page: Page, path: Path) -> None:
    page.locator(".dropzone input[type=file]").set_input_files(path)


def test_a_csv_becomes_a_project_and_its_first_item_is_labeled_while_encoding_still_waits(
    page: Page, ui: UiProcess, owner: Client, tmp_path: Path
) -> None:
    project = new_project(page, ui, "tickets *of* <b>May</b>", "spam\nham\n\nspam")
    table = tmp_path / "tickets.csv"
    rows = "".join(f'{i},"message, number {i}\nsecond line",x\n' for i in range(500))
    table.write_text("number;not,what they wrote,note\n" + rows)
    drop(page, table)
    choose = page.get_by_label("Text", exact=True)
    expect(page.locator(".dropzone table").first).to_contain_text("message, number 1")
    choose.select_option("what they wrote")
    expect(page.locator("th.used")).to_have_text("what they wrote")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".dropzone .report")).to_have_text("500 items added.")
    expect(page.get_by_text("Encoding", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start labeling").click()
    expect(page.locator(".annotator .text")).to_contain_text("second line")
    page.keyboard.press("2")
    wait_saved(page)
    (row,) = owner.iter_labels(project)
    assert (row["label"], owner.project(project).name) == ("ham", "tickets *of* <b>May</b>")
    assert owner.project(project).class_names == ["spam", "ham"]


def test_a_file_of_another_kind_is_refused_before_it_is_sent(
    page: Page, ui: UiProcess, owner: Client, tmp_path: Path
) -> None:
    project = new_project(page, ui, "no pictures", "a\nb")
    pictures = tmp_path / "pictures.zip"
    pictures.write_bytes(b"PK")
    drop(page, pictures)
    expect(page.locator(".dropzone .error")).to_have_text(
        "pictures.zip cannot be read here: this project takes texts from CSV, TSV, JSONL or Parquet."
    )
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_hidden()
    assert owner.stats(project)["items"] == 0


def test_rows_that_cannot_be_used_are_counted_and_explained(
    page: Page, ui: UiProcess, owner: Client, tmp_path: Path
) -> None:
    project = new_project(page, ui, "broken", "a\nb")
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"text": "good"}\nnot json\n{"text": "good"}\n{"text": "<img src=x>"}\n')
    drop(page, lines)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".dropzone .report")).to_have_text("2 items added, 1 duplicate left out, 1 row not usable.")
    page.locator(".dropzone details summary").click()
    expect(page.locator(".dropzone details")).to_contain_text("line 2")
    assert owner.stats(project)["items"] == 2


def test_labels_that_the_project_does_not_have_are_said_before_the_upload(
    page: Page, ui: UiProcess, tmp_path: Path
) -> None:
    new_project(page, ui, "foreign", "a\nb")
    table = tmp_path / "t.csv"
    table.write_text("text,label\none,a\ntwo,zebra\n")
    drop(page, table)
    expect(page.locator(".dropzone .warn")).to_contain_text("zebra")
    expect(page.locator(".dropzone .check input")).not_to_be_checked()


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [("a.pdf", b"%PDF", "CSV, TSV, JSONL or Parquet"), ("empty.csv", b"", "empty")],
)
def test_a_file_that_cannot_be_read_is_refused_at_once(
    page: Page, ui: UiProcess, tmp_path: Path, name: str, content: bytes, word: str
) -> None:
    new_project(page, ui, "odd", "a\nb")
    file = tmp_path / name
    file.write_bytes(content)
    drop(page, file)
    expect(page.locator(".dropzone .error")).to_contain_text(word)


def test_a_project_needs_a_name_and_two_labels(page: Page, ui: UiProcess) -> None:
    page.goto(f"{ui.url}/new")
    page.get_by_role("button", name="Create and add data").click()
    expect(page.get_by_text("Give the project a name.")).to_be_visible()
    page.get_by_label("Name").fill("one")
    page.get_by_label("Labels, one per line").fill("only")
    page.get_by_role("button", name="Create and add data").click()
    expect(page.get_by_text("at least two labels")).to_be_visible()
