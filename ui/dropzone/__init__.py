"""Importing by dropping a file: the browser sends it straight to ``/v1``, never through this process's memory."""

from __future__ import annotations

import streamlit as st

from client import Project
from ui.page_code import read_page_code

_SCRIPTS = ("table_preview.js", "dropzone.js")
_mount = st.components.v2.component("winnow_dropzone", **read_page_code(__name__, "dropzone", _SCRIPTS))


def dropzone(project: Project) -> bool:
    """Show the drop zone of a project; true on the run in which "Start labeling" was pressed."""
    result = _mount(
        key=f"dropzone-{project.id}",
        data={"project": project.id, "task": project.task, "labels": project.class_names},
        on_label_change=lambda: None,
    )
    return bool(result.label)
