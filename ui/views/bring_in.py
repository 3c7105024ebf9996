"""Bringing data in."""

from __future__ import annotations

import streamlit as st

from ui.dropzone import dropzone
from ui.escaping import escape
from ui.session import Visitor, go, open_project

_EXAMPLES = {
    "text": 'A CSV with a column of texts, or JSONL: `{"text": "…", "label": "spam"}` a line. Labels are optional.',
    "image": "A ZIP of PNG or JPEG files. A folder's name, where there is one, is taken for the label.",
    "features": "A `.npz` with `X` (rows × numbers) and optionally `y`, or JSONL with `features`.",
}


def bring_in(visitor: Visitor) -> None:
    """Show the page."""
    project = open_project(visitor)
    if project is None:
        return
    st.title("Add data")
    st.markdown(f"to **{escape(project.name)}** · {_EXAMPLES.get(project.task, '')}")
    if dropzone(project):
        go("label", project.id)
