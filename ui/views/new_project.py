"""Making a project."""

from __future__ import annotations

import streamlit as st

from ui.session import Visitor, go, told

_TASKS = {"text": "Texts", "image": "Images", "features": "Feature vectors"}


def label_lines(text: str) -> list[str]:
    """The labels, one a line: blanks trimmed, empty lines and repetitions left out, order kept."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def new_project(visitor: Visitor) -> None:
    """Show the page."""
    st.title("New project")
    with st.form("new-project", border=False):
        name = st.text_input("Name", placeholder="Support tickets")
        task = st.radio("What is labeled", list(_TASKS), format_func=_TASKS.__getitem__, horizontal=True)
        labels = st.text_area("Labels, one per line", placeholder="spam\nham", height=140)
        guidelines = st.text_area(
            "Guidelines for the annotators (optional)",
            placeholder="What counts as spam? Give an example of each doubtful case.",
            height=100,
        )
        sent = st.form_submit_button("Create and add data", type="primary")
    if not sent:
        return
    names = label_lines(labels)
    if not name.strip():
        st.error("Give the project a name.")
    elif len(names) < 2:
        st.error("Write at least two labels, one per line.")
    else:
        project = None
        with told():
            project = visitor.client.create_project(name.strip(), task, names, guidelines=guidelines.strip() or None)
        if project is not None:
            go("import", project.id)
