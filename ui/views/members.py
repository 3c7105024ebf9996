"""Who works on a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from ui.escaping import escape
from ui.session import Visitor, open_project, told

_ROLES = {
    "annotator": "annotator — labels",
    "viewer": "viewer — looks and exports",
    "manager": "manager — may do everything",
}


def members(visitor: Visitor) -> None:
    """Show the page."""
    project = open_project(visitor)
    if project is None:
        return
    st.title("Members")
    listed = st.container()
    _add(visitor, project)
    with listed, told():  # filled last, so that it has whoever was just added
        for member in visitor.client.members(project.id):
            _row(visitor, project, member)


def _row(visitor: Visitor, project: Project, member: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(gap=None):
            st.text(str(member["email"]))
            st.caption(escape(str(member["role"])))
        if st.button("Remove", key=f"remove-{member['id']}", disabled=member["id"] == visitor.me.id):
            visitor.client.remove_member(project.id, member["id"])
            st.rerun()


def _add(visitor: Visitor, project: Project) -> None:
    st.subheader("Add somebody")
    owner = visitor.me.role == "owner"
    if not owner:
        st.caption("They need an account here: the owner can make one.")
    said, password = st.session_state.pop("member_added", (None, None))
    # What was typed stays after a refusal; after a success the form is a new, empty one.
    n_added = st.session_state.setdefault("members_added", 0)
    with st.form(f"member-{n_added}", border=False):
        email_box, role_box = st.columns([3, 2])
        email = email_box.text_input("E-mail", key=f"member-email-{n_added}")
        role = role_box.selectbox("Role", list(_ROLES), format_func=_ROLES.__getitem__)
        make = owner and st.checkbox(
            "Make an account for this address: they have none here yet", key=f"member-new-{n_added}"
        )
        sent = st.form_submit_button("Add", type="primary")
    if said:
        st.success(said)
    if password:
        st.code(password, language=None)
    address = email.strip()
    if not sent or not address:
        return
    with told(email="This address", role="The role"):
        password = visitor.client.create_user(address).password if make else None
        visitor.client.add_member(project.id, address, role)
        word = "can sign in with this password. It is not shown again:" if password else "is a member now."
        st.session_state["member_added"] = (f"{escape(address)} {word}", password)
        st.session_state["members_added"] = n_added + 1
        st.rerun()
