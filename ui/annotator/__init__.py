"""The labeling surface: a Streamlit component whose page code prefetches, shows and sends by itself."""

from __future__ import annotations

import streamlit as st

from client import Me, Project
from ui.page_code import read_page_code

# In the order in which they are joined to one module: each uses only what stands before it.
_SCRIPTS = ("outbox.js", "shelf.js", "item_view.js", "surface.js")

_mount = st.components.v2.component("winnow_annotator", **read_page_code(__name__, "annotator", _SCRIPTS))


def annotator(project: Project, me: Me) -> None:
    """Show the labeling surface of a project for a person.

    No item and no label passes through this process's Python: the page asks ``/v1`` itself, on its own origin.
    """
    _mount(
        key=f"annotator-{project.id}",
        data={
            "project": project.id,
            "user": me.id,
            "task": project.task,
            "labels": [
                {name: label.get(name) for name in ("name", "description", "hotkey", "color")}
                for label in project.labels
            ],
            "guidelines": project.guidelines or "",
        },
    )
