"""Markup in every field that a page shows: it is text there, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Dialog, Page, expect

from client import Client, Project
from tests.ui.servers import UiProcess
from tests.ui.test_views import add_round
from tests.ui.watch import open_labeling, wait_saved
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Job, Round

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("enter")]

#: Each would do something where it was taken for HTML, Markdown, TeX, a directive of Streamlit or an address.
PIECES = (
    "<script>window.__pwned=1</script>",
    "<img src=/x onerror=window.__pwned=2>",
    "[a](javascript:window.__pwned=3)",
    "![b](/y)",
    "**c** __d__ `e` ~~f~~",
    ":red[g] :material/home: :smile: :green-badge[h]",
    "$\\frac{1}{2}$",
    "&lt;i&gt; &#x3c;j&#x3e;",
    "-> <- -- >= <= !=",
    "\u202egnp.exe\u202c a\u200bb",
    "http://evil.example/ www.evil.example",
    "{{7*7}} ${7*7}",
    "# k\\",
)
ALL = " ".join(PIECES)
WORD = "w" * 10_000


def cut(limit: int) -> list[str]:
    """The pieces as texts of at most ``limit`` characters."""
    texts = [""]
    for piece in PIECES:
        if len(texts[-1]) + len(piece) >= limit:
            texts.append("")
        texts[-1] = f"{texts[-1]} {piece}".strip()
    return texts


NAME = cut(200)[0]
REST = cut(200)[1:]
SPECIAL = ":red[g]:smile:$x$<i>`j`**k**"
EMAIL = f"{SPECIAL}@[l](javascript:window.__pwned=4)"


@pytest.fixture
def project(owner: Client) -> Project:
    """A project with markup in everything that it has of its own."""
    classes = [{"name": text, "description": ALL} for text in (*REST, NAME)]
    made = owner.create_project(NAME, "text", classes, guidelines=f"{ALL}\n\n{ALL}", settings={"holdout": False})
    rows = [{"text": f"{ALL}\n{WORD}", "key": NAME, "meta": {NAME: NAME}}, {"text": f"{ALL} again"}]
    assert not owner.add_items(made.id, rows).rejected
    return made


@pytest.fixture
def guarded(page: Page) -> Iterator[Page]:
    """A page on which no dialog opens and no script of the texts runs."""
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    yield page
    assert page.evaluate("window.__pwned") is None
    assert dialogs == []
    assert page.locator("a[href^='javascript:']").count() == 0
    assert page.locator("img[src*='/y'], img[src='/x']").count() == 0


def shows(page: Page, text: str, times: int = 1) -> None:
    """The text is on the page as it was given, but for joiners that take no room."""
    letters = (re.escape(letter) for letter in " ".join(text.split()))
    found = page.get_by_text(re.compile("\u2060?".join(letters).replace("\\ ", "\\s+")))
    expect(found.nth(times - 1)).to_be_attached()


def test_the_pages_of_a_project(
    guarded: Page, ui: UiProcess, owner: Client, database: Database, project: Project
) -> None:
    owner.create_user(EMAIL)
    owner.add_member(project.id, EMAIL, "viewer")
    owner.create_token(NAME)
    add_round(database, project, 1, 20, None)
    with database.write() as session:
        session.get_one(Round, (int(project.id), 1)).reason = ALL
        problem = {"title": "Failed", "detail": ALL, "status": 500, "type": "about:blank"}
        session.add(
            Job(
                kind="encode", project_id=int(project.id), payload={}, state="failed", error=problem, message=ALL,
                finished_at=utcnow(), created_at=utcnow(),
            )
        )  # fmt: skip
    expected = {
        "projects": [NAME, REST[0]],
        "rounds": [NAME, ALL, f"The last encoding failed. {ALL}"],
        "students": [NAME],
        "import": [NAME],
        "members": [EMAIL],
        "account": [NAME],
    }
    for path, texts in expected.items():
        guarded.goto(f"{ui.url}/{path}?project={project.id}")
        for text in texts:
            shows(guarded, text)
    guarded.goto(f"{ui.url}/settings?project={project.id}")
    expect(guarded.get_by_role("textbox", name="Name", exact=True)).to_have_value(NAME)
    expect(guarded.get_by_role("textbox", name="Guidelines")).to_have_value(f"{ALL}\n\n{ALL}")


def test_the_labeling_page(guarded: Page, ui: UiProcess, owner: Client, project: Project) -> None:
    open_labeling(guarded, ui.url, project.id)
    for text in (*REST, NAME):
        shows(guarded, text)
    assert guarded.locator(".annotator .text").text_content() in (f"{ALL}\n{WORD}", f"{ALL} again")
    guarded.keyboard.press("?")
    guarded.locator('.annotator [data-do="guidelines"]').click()
    assert guarded.locator('.annotator [data-at="guidelines"]').text_content() == f"{ALL}\n\n{ALL}"
    guarded.keyboard.press("f")
    guarded.locator('.annotator [data-at="flagReason"]').fill(ALL)
    guarded.keyboard.press("Enter")
    wait_saved(guarded)
    guarded.keyboard.press("1")
    wait_saved(guarded)
    said = [row["flag"] or row["label"] for row in owner.iter_labels(project.id)]
    assert said == [ALL, REST[0]]
    # The long word and the direction marks change nothing around them.
    width = guarded.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 1


def test_what_a_page_says_of_a_refusal(guarded: Page, ui: UiProcess, owner: Client, project: Project) -> None:
    guarded.goto(f"{ui.url}/members?project={project.id}")
    strange = f"{SPECIAL}x@example.org"
    guarded.get_by_label("E-mail").fill(strange)
    guarded.get_by_text("Make an account for this address").click()
    guarded.get_by_role("button", name="Add", exact=True).click()
    expect(guarded.get_by_test_id("stAlert").filter(has_text="can sign in")).to_contain_text(strange)
    expect(guarded.get_by_label("E-mail")).to_have_count(1)
    guarded.get_by_label("E-mail").fill(strange)
    guarded.get_by_text("Make an account for this address").click()
    guarded.get_by_role("button", name="Add", exact=True).click()
    expect(guarded.get_by_test_id("stAlert").filter(has_text="already")).to_contain_text(strange)
    guarded.goto(f"{ui.url}/label?project={SPECIAL}")
    expect(guarded.get_by_text("There is no such project")).to_be_visible()


def test_somebody_whose_address_is_markup(guarded: Page, ui: UiProcess, owner: Client, project: Project) -> None:
    made = owner.create_user(f"y{EMAIL}", password="long enough to be one")
    owner.add_member(project.id, made.email, "annotator")
    body = {"email": made.email, "password": "long enough to be one"}
    answer = httpx.post(f"{ui.url}/auth/sign-in", json=body, headers={"Origin": ui.url}, trust_env=False)
    ((name, value),) = answer.cookies.items()
    guarded.context.add_cookies([{"name": name, "value": value, "url": ui.url}])
    guarded.goto(f"{ui.url}/account")
    shows(guarded, f"Signed in as {made.email} (member)")
    shows(guarded, made.email, 2)


def test_a_file_with_markup_in_its_name_its_header_and_its_rows(
    guarded: Page, ui: UiProcess, owner: Client, project: Project
) -> None:
    name = "<img src=x onerror=window.__pwned=5>:red[x].csv"
    rows = f'text,label,"<b>{NAME}"\n"<script>window.__pwned=6</script>","{PIECES[1]}",x\n'
    guarded.goto(f"{ui.url}/import?project={project.id}")
    content = rows.encode()
    guarded.locator('.dropzone [data-at="input"]').set_input_files(
        [{"name": name, "mimeType": "text/csv", "buffer": content}]
    )
    expect(guarded.locator('.dropzone [data-at="name"]')).to_have_text(name)
    shows(guarded, "<script>window.__pwned=6</script>")
    expect(guarded.locator('.dropzone [data-at="foreign"]')).to_contain_text(PIECES[1])
    guarded.locator('.dropzone [data-at="useLabels"]').check()
    guarded.get_by_role("button", name="Import", exact=True).click()
    expect(guarded.locator('.dropzone [data-at="report"]')).to_contain_text("1 row not usable")
    reason = guarded.locator('.dropzone [data-at="errors"] td').nth(1)
    expect(reason).to_contain_text(json.dumps(PIECES[1]).strip('"'))
