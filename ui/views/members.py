"""Who works on a project."""

from __future__ import annotations

import streamlit as st

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
    with told():
        for member in visitor.client.members(project.id):
            who, part, button = st.columns([4, 2, 1], vertical_alignment="center")
            who.text(str(member["email"]))
            part.caption(str(member["role"]))
            if button.button("Remove", key=f"remove-{member['id']}", disabled=member["id"] == visitor.me.id):
                visitor.client.remove_member(project.id, member["id"])
                st.rerun()
    st.subheader("Add somebody")
    st.caption("They need an account here: the owner makes one with `winnow user add EMAIL`, or below.")
    with st.form("member", clear_on_submit=True, border=False):
        email_box, role_box = st.columns([3, 2])
        email = email_box.text_input("E-mail")
        role = role_box.selectbox("Role", list(_ROLES), format_func=_ROLES.__getitem__)
        make = visitor.me.role == "owner" and st.checkbox("Make an account for this address")
        sent = st.form_submit_button("Add", type="primary")
    if sent and email.strip():
        with told():
            password = visitor.client.create_user(email.strip()).password if make else None
            visitor.client.add_member(project.id, email.strip(), role)
            if password is None:
                st.rerun()
            st.success(f"{email.strip()} can sign in with this password. It is not shown again:")
            st.code(password, language=None)
