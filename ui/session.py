"""Who looks at the page, and the client that acts for them: made anew on each run from the request's cookie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import httpx
import streamlit as st

from client import Client, ClientError, Me, ProblemError, Project
from ui.escaping import escape
from ui.settings import current


@dataclass(frozen=True)
class Visitor:
    """A signed-in person and the client that acts as them."""

    client: Client
    me: Me


@lru_cache(maxsize=1)
def _connections() -> httpx.Client:
    """One pool of connections for every visitor; who is calling is said with each call."""
    return httpx.Client(timeout=30.0, trust_env=False, limits=httpx.Limits(keepalive_expiry=4.0))


def visitor() -> Visitor | None:
    """Whoever the session cookie stands for; None when nobody is signed in. Raises Unreachable without an API."""
    settings = current()
    token = st.context.cookies.get(settings.cookie)
    if not token:
        return None
    client = Client(settings.api_url, token, http=_connections())
    try:
        return Visitor(client, client.me())
    except ProblemError as problem:
        if problem.status == 401:
            return None
        raise


def remember_pages(pages: Mapping[str, Any]) -> None:
    """Keep this run's pages by their address, for ``page`` and ``go``."""
    st.session_state["winnow_pages"] = dict(pages)


def page(path: str) -> Any:
    """The page at an address, as Streamlit knows it in this run."""
    return st.session_state["winnow_pages"][path]


def go(path: str, project: str | None = None) -> NoReturn:
    """Go to another page, of a project where one is named."""
    st.switch_page(page(path), query_params={"project": project} if project is not None else {})


def project_id() -> str | None:
    """The project that the address names."""
    return st.query_params.get("project")


def open_project(visitor: Visitor) -> Project | None:
    """The project that the address names, else None with a word on the page about what to do."""
    wanted = project_id()
    if wanted is None:
        st.info("Choose a project first.", icon=":material/folder_open:")
        _to_projects()
        return None
    try:
        project = visitor.client.project(wanted)
    except ProblemError as problem:
        if problem.status not in {403, 404}:
            raise
        st.warning("There is no such project, or you are not a member of it.", icon=":material/search_off:")
        _to_projects()
        return None
    if project.archived_at is None:
        return project
    _archived(visitor, project)
    return None


def _to_projects() -> None:
    st.page_link(page("projects"), label="All projects", icon=":material/arrow_back:")


def _archived(visitor: Visitor, project: Project) -> None:
    st.warning(
        "This project is archived: nobody sees or labels it, and 30 days after that it is deleted for good.",
        icon=":material/inventory_2:",
    )
    if st.button("Restore it", type="primary"):
        with told():
            visitor.client.update_project(project.id, archived=False)
            st.rerun()
    _to_projects()


@contextmanager
def told(**fields: str) -> Iterator[None]:
    """Say what the service refused, in words, where the block stands. A lost session is left to the page.

    ``fields`` are what the page calls the request's fields: ``new="The new password"``.
    """
    try:
        yield
    except ProblemError as problem:
        if problem.status == 401:
            raise
        st.error(escape(_in_words(problem, fields)), icon=":material/error:")
    except ClientError as error:
        st.error(escape(str(error)), icon=":material/cloud_off:")


def _in_words(problem: ProblemError, fields: Mapping[str, str]) -> str:
    """The problem, its fields under the names that the page gives them."""
    at_fault = [(str(error.get("loc", [""])[-1]), str(error.get("msg", ""))) for error in problem.errors]
    if not at_fault or any(name not in fields for name, _ in at_fault):
        return problem.sentence
    return " ".join(f"{fields[name]} {message.rstrip('.')}." for name, message in at_fault)
