"""Who works on a project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from ui.session import Visitor, open_project, told
from ui.views.sidebar import escape

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
    with st.form("member", border=False):
        email_box, role_box = st.columns([3, 2])
        email = email_box.text_input("E-mail")
        role = role_box.selectbox("Role", list(_ROLES), format_func=_ROLES.__getitem__)
        make = owner and st.checkbox("Make an account for this address: they have none here yet")
        sent = st.form_submit_button("Add", type="primary")
    address = email.strip()
    if not sent or not address:
        return
    with told(email="This address", role="The role"):
        password = visitor.client.create_user(address).password if make else None
        visitor.client.add_member(project.id, address, role)
        if password is None:
            st.success(f"`{address}` is a member now.")
            return
        st.success(f"`{address}` can sign in with this password. It is not shown again:")
        st.code(password, language=None)
