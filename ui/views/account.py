"""One's own account: the password and API tokens."""

from __future__ import annotations

import streamlit as st

from ui.session import Visitor, told
from ui.views.sidebar import escape


def account(visitor: Visitor) -> None:
    """Show the page."""
    st.title("Account")
    st.caption(f"Signed in as {escape(visitor.me.email)} ({visitor.me.role})")
    st.subheader("Password")
    change_password(visitor)
    st.subheader("API tokens")
    _tokens(visitor)


def first_password(visitor: Visitor) -> None:
    """Ask, once a visit and without insisting, to change the generated first password."""
    if not visitor.me.must_change_password or st.session_state.get("keep_password"):
        return
    with st.container(border=True):
        st.markdown("**Choose a password of your own.** The present one was generated and stood in a terminal.")
        change_password(visitor, key="first")
        if st.button("Not now", key="keep"):
            st.session_state["keep_password"] = True
            st.rerun()


def change_password(visitor: Visitor, *, key: str = "account") -> None:
    """Show the form that changes the password."""
    with st.form(f"password-{key}", clear_on_submit=True, border=False):
        present = st.text_input("Present password", type="password", autocomplete="current-password")
        new = st.text_input("New password", type="password", autocomplete="new-password")
        again = st.text_input("New password again", type="password", autocomplete="new-password")
        sent = st.form_submit_button("Change password", type="primary")
    if not sent:
        return
    if new != again:
        st.error("The two new passwords differ. Nothing was changed.")
        return
    with told():
        visitor.client.change_password(present, new)
        st.session_state["keep_password"] = True
        st.success("The password is changed. You stay signed in here; other sign-ins have ended.")


def _tokens(visitor: Visitor) -> None:
    st.caption("For programs and the command line. A token is shown once and may do what you may do.")
    with told():
        for token in visitor.client.tokens():
            name, button = st.columns([4, 1], vertical_alignment="center")
            name.text(str(token["name"]))
            if button.button("Delete", key=f"token-{token['id']}"):
                visitor.client.delete_token(token["id"])
                st.rerun()
    with st.form("token", clear_on_submit=True, border=False):
        name_box, submit = st.columns([4, 1], vertical_alignment="bottom")
        wanted = name_box.text_input("Name of a new token", placeholder="my-script")
        sent = submit.form_submit_button("Create")
    if sent and wanted.strip():
        with told():
            made = visitor.client.create_token(wanted.strip())
            st.success("Copy it now: it is not shown again.")
            st.code(made.token, language=None)
