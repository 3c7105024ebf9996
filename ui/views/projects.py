"""The list of projects: where one starts."""

from __future__ import annotations

from itertools import islice

import streamlit as st

from client import Project
from ui.escaping import escape
from ui.session import Visitor, go
from ui.views.account import first_password

_SHOWN = 200


def projects(visitor: Visitor) -> None:
    """Show the page."""
    first_password(visitor)
    heading, new = st.columns([3, 1], vertical_alignment="bottom")
    heading.title("Projects")
    found = list(islice(visitor.client.iter_projects(), _SHOWN))
    if not found:
        _none_yet()
        return
    if new.button("New project", icon=":material/add:", type="primary", width="stretch"):
        go("new")
    for project in found:
        _card(project)


def _none_yet() -> None:
    with st.container(border=True):
        st.subheader("Nothing here yet")
        st.markdown(
            "A project is a pile of texts, images or feature vectors and the labels that they may get.  \n"
            "Make one, drop a file on it, and label the first item a few seconds later."
        )
        if st.button("Make the first project", icon=":material/add:", type="primary"):
            go("new")


def _card(project: Project) -> None:
    counts = project.counts
    items, labeled = int(counts.get("items", 0)), int(counts.get("labeled", 0))
    with st.container(border=True):
        about, button = st.columns([4, 1], vertical_alignment="center")
        with about:
            st.markdown(f"#### {escape(project.name)}")
            kinds = {"text": "texts", "image": "images", "features": "feature vectors"}
            names = ", ".join(project.class_names[:6]) + (" …" if len(project.class_names) > 6 else "")
            st.caption(f"{items:,} {kinds.get(project.task, 'items')} · {escape(names)}")
        if items:
            about.progress(min(1.0, labeled / items), text=f"{labeled:,} labeled")
            if button.button("Label", key=f"label-{project.id}", type="primary", width="stretch"):
                go("label", project.id)
        elif project.role == "manager" and button.button(
            "Add data", key=f"add-{project.id}", type="primary", width="stretch"
        ):
            go("import", project.id)
        if button.button("Open", key=f"open-{project.id}", width="stretch"):
            go("rounds", project.id)
