"""The labeling page: nothing but the surface, and what an empty project needs first."""

from __future__ import annotations

import streamlit as st

from ui.annotator import annotator
from ui.escaping import escape
from ui.session import Visitor, go, open_project
from ui.views.account import first_password


def labeling(visitor: Visitor) -> None:
    """Show the page."""
    project = open_project(visitor)
    if project is None:
        return
    first_password(visitor, folded=True)
    if project.role == "viewer":
        st.info("You may look at this project, but not label in it. Its manager can change that.")
        return
    st.markdown(f"#### {escape(project.name)}")
    if not project.counts.get("items") and project.role == "manager":
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown("This project has no items yet.")
            if st.button("Add data", type="primary"):
                go("import", project.id)
    annotator(project, visitor.me)
