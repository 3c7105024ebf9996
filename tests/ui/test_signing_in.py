"""Signing in and out, and that the token never reaches the page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from client import Client, ProblemError
from tests.ui.conftest import OWNER
from tests.ui.servers import ApiServer, UiProcess
from winnow import users
from winnow.db.session import Database

pytestmark = pytest.mark.browser


def sign_in(page: Page, email: str = OWNER[0], password: str = OWNER[1]) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def session_cookie(context: BrowserContext) -> dict[str, object]:
    (found,) = [cookie for cookie in context.cookies() if str(cookie["name"]).startswith("winnow_session")]
    return dict(found)


def test_a_wrong_password_is_refused_in_words_and_the_right_one_opens_the_page_that_was_asked_for(
    page: Page, ui: UiProcess
) -> None:
    page.goto(f"{ui.url}/new")
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("password")
    sign_in(page)
    expect(page.get_by_role("heading", name="New project")).to_be_visible()
    assert page.url == f"{ui.url}/new"


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites_and_the_token_is_nowhere_else(
    page: Page, context: BrowserContext, ui: UiProcess, owner: Client
) -> None:
    project = owner.create_project("secrets", "text", ["a", "b"])
    owner.add_items(project.id, [{"text": "one"}])
    seen: list[str] = []
    page.on("request", lambda request: seen.append(f"{request.url} {request.post_data or ''}"))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: seen.append(repr(frame))))
    page.goto(f"{ui.url}/label?project={project.id}")
    sign_in(page)
    expect(page.locator(".annotator .card[data-item]")).to_be_visible()
    cookie = session_cookie(context)
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    token = str(cookie["value"])
    assert token.startswith("wn_")
    assert page.evaluate("document.cookie") == ""
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert all(token not in text for text in [page.url, page.content(), stored, *seen])


def test_signing_out_ends_the_session_everywhere(
    page: Page, context: BrowserContext, ui: UiProcess, api_server: ApiServer
) -> None:
    page.goto(ui.url)
    sign_in(page)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    token = str(session_cookie(context)["value"])
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert context.cookies() == []
    with Client(api_server.url, token) as client, pytest.raises(ProblemError) as refused:
        client.me()
    assert refused.value.status == 401


def test_a_one_time_entry_opens_its_page_signed_in_and_only_once(
    page: Page, ui: UiProcess, owner: Client, write_entry: Callable[[str, dict[str, object]], Path]
) -> None:
    project = owner.create_project("quick", "text", ["a", "b"])
    owner.add_items(project.id, [{"text": "the first item"}])
    code = "one-time-code-of-the-launcher"
    entry = {"token": owner.transport.token, "target": f"/label?project={project.id}"}
    path = write_entry(hashlib.sha256(code.encode()).hexdigest(), entry)
    page.goto(f"{ui.url}/enter?code={code}")
    expect(page.locator(".annotator .text")).to_have_text("the first item")
    assert page.url == f"{ui.url}/label?project={project.id}"
    assert not path.exists()
    again = httpx.get(f"{ui.url}/enter?code={code}", trust_env=False)
    assert (again.status_code, again.cookies) == (410, httpx.Cookies())


def test_the_generated_first_password_can_be_kept_or_changed(page: Page, ui: UiProcess, database: Database) -> None:
    with database.write() as session:
        _, password = users.create_user(session, "new@example.org", None, "member")
    assert password is not None
    page.goto(ui.url)
    sign_in(page, "new@example.org", password)
    expect(page.get_by_text("Choose a password of your own.")).to_be_visible()
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_text("Choose a password of your own.")).to_be_hidden()
    page.reload()
    page.get_by_label("Present password").fill(password)
    page.get_by_label("New password", exact=True).fill("a password of my own")
    page.get_by_label("New password again").fill("a password of my own")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, "new@example.org", "a password of my own")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    expect(page.get_by_text("Choose a password of your own.")).to_be_hidden()


def test_another_site_can_neither_post_nor_listen(ui: UiProcess, page: Page, context: BrowserContext) -> None:
    page.goto(ui.url)
    sign_in(page)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    cookie = session_cookie(context)
    with httpx.Client(base_url=ui.url, cookies={str(cookie["name"]): str(cookie["value"])}, trust_env=False) as thief:
        for origin in ({"Origin": "http://evil.example"}, {}):
            assert thief.post("/v1/tokens", json={"name": "x"}, headers=origin).status_code == 403
            assert thief.post("/auth/sign-out", headers=origin).status_code == 403
        upgrade = {
            "Origin": "http://evil.example",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert thief.get("/_stcore/stream", headers=upgrade).status_code == 403
        assert thief.get("/_stcore/agent/openapi.json").status_code == 404
