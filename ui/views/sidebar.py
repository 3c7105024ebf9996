"""The way around: the projects, and the pages of the one that is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import ClientError, Project
from ui.doorway import sign_out_button
from ui.escaping import escape
from ui.session import Visitor

_EVERYBODY = ("label", "rounds", "students")
_MANAGERS = ("import", "members", "settings")


def sidebar(visitor: Visitor, pages: Mapping[str, Any], icons: Mapping[str, str], project: str | None) -> None:
    """Show the way around for a visitor; ``project`` is the id of the open one. Pages and icons go by address."""
    opened = _open(visitor, project)
    with st.sidebar:
        st.page_link(pages["projects"], icon=icons["projects"])
        st.page_link(pages["new"], icon=icons["new"])
        if opened is not None:
            st.divider()
            st.markdown(f"**{escape(opened.name)}**")
            for path in _paths(opened):
                st.page_link(pages[path], icon=icons[path], query_params={"project": opened.id})
        st.divider()
        st.page_link(pages["account"], label=escape(visitor.me.email), icon=icons["account"])
        sign_out_button()


def _paths(project: Project) -> tuple[str, ...]:
    if project.archived_at is not None:
        return ()
    return (*_EVERYBODY, *_MANAGERS) if project.role == "manager" else _EVERYBODY


def _open(visitor: Visitor, project: str | None) -> Project | None:
    if project is None:
        return None
    try:
        return visitor.client.project(project)
    except ClientError:
        return None  # the view says what is wrong with it
