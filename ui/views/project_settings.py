"""A project's settings, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from ui.escaping import escape
from ui.session import Visitor, open_project, told
from ui.views.encoder import encoder_field, show_encoder
from ui.views.language_model import notice
from ui.views.model_choices import BadProfile, Offered, model_fields, note_saved
from ui.views.new_project import label_lines

_FIELDS = {
    "name": "The name",
    "guidelines": "The guidelines",
    "labels": "The labels",
    "strategy": "The query strategy",
    "batch_size": "Labels per round",
    "overlap": "People per item",
    "lease_seconds": "Seconds that an item is held",
    "collect": "Collecting inputs",
    "cold_retrain": "Training afresh in the background",
    "encoder": "The encoder",
    "teacher": "The teacher",
    "student": "The student",
    "device": "The device",
    "budget": "The budget",
}


def project_settings(visitor: Visitor) -> None:
    """Show the page."""
    project = open_project(visitor)
    if project is None:
        return
    st.title("Settings")
    if word := st.session_state.pop("settings_saved", None):
        st.success(word)
    if project.task == "text":
        with told():
            show_encoder(visitor.client.stats(project.id))
    _edit(visitor, project)
    st.divider()
    _archive(visitor, project)


def _edit(visitor: Visitor, project: Project) -> None:
    settings = project.settings
    offered = visitor.client.strategies()
    models = Offered.of(visitor.client, project)
    if word := notice(project, models.endpoints):
        st.warning(escape(word))
    with st.form("settings", border=False):
        name = st.text_input("Name", project.name)
        guidelines = st.text_area("Guidelines", project.guidelines, height=140)
        st.text_area("Labels", "\n".join(project.class_names), height=110, disabled=True)
        more = st.text_area("Further labels, one per line", height=80)
        asked = _serving_fields(settings, offered)
        encoder = encoder_field(project)
        collect = st.checkbox(
            "Bundles may collect inputs where they run",
            bool(settings.get("collect")),
            help="Only when whoever runs one asks for it (predict.py --collect FILE), and only into that file: the "
            "least certain and the most novel inputs, to be added here and labelled.",
        )
        wanted = model_fields(project, models)
        sent = st.form_submit_button("Save", type="primary")
    if not sent:
        return
    try:
        chosen = wanted.changes(project)
    except BadProfile as error:
        st.error(escape(str(error)), icon=":material/error:")
        return
    changes: dict[str, Any] = {
        "name": name.strip(),
        "guidelines": guidelines,
        "settings": {**asked, "collect": collect, **encoder, **chosen},
    }
    added = [label for label in label_lines(more) if label not in project.class_names]
    if added:
        changes["labels"] = [*project.labels, *added]
    with told(**_FIELDS):
        visitor.client.update_project(project.id, **changes)
        st.session_state["settings_saved"] = "Saved."
        note_saved()
        st.rerun()


def _serving_fields(settings: Mapping[str, Any], offered: list[str]) -> dict[str, Any]:
    """The fields on how items are asked for; gives the settings that stand in them."""
    left, right = st.columns(2)
    present = str(settings.get("strategy", "auto"))
    strategies = offered if present in offered else [*offered, present]
    strategy = left.selectbox("Query strategy", strategies, index=strategies.index(present))
    batch = right.text_input(
        "Labels per round",
        str(settings.get("batch_size", "auto")),
        help="A number, or auto: 5 % of the labels, at least 10.",
    )
    overlap = left.number_input("People per item", 1, 20, int(settings.get("overlap", 1)))
    lease = right.number_input("Seconds that an item is held", 10, 86_400, int(settings.get("lease_seconds", 300)))
    return {
        "strategy": strategy,
        "batch_size": int(batch) if batch.strip().isdecimal() else batch.strip(),
        "overlap": int(overlap),
        "lease_seconds": int(lease),
    }


def _archive(visitor: Visitor, project: Project) -> None:
    st.subheader("Archive")
    st.caption("The project disappears from the lists and is deleted for good after 30 days.")
    with st.form("archive", border=False):
        typed = st.text_input("Type the project's name to confirm")
        sent = st.form_submit_button("Archive this project")
    if not sent:
        return
    if typed != project.name:
        st.error("That is not this project's name. Nothing was done.")
        return
    archived = False
    with told():
        visitor.client.delete_project(project.id, confirm=typed)
        archived = True
    if archived:
        st.rerun()  # the page then says what that means, and how to take it back
