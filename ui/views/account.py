"""One's own account: the password and API tokens."""

from __future__ import annotations

import streamlit as st

from ui.escaping import escape
from ui.session import Visitor, told

_CHANGED = "The password is changed. You stay signed in here; other sign-ins have ended."


def account(visitor: Visitor) -> None:
    """Show the page."""
    st.title("Account")
    st.caption(f"Signed in as {escape(visitor.me.email)} ({visitor.me.role})")
    st.subheader("Password")
    if change_password(visitor):
        st.success(_CHANGED)
    st.subheader("API tokens")
    _tokens(visitor)


def first_password(visitor: Visitor, *, folded: bool = False) -> None:
    """Ask, once a visit and without insisting, to change the generated first password; ``folded`` takes one line."""
    if st.session_state.pop("password_changed", False):
        st.toast(_CHANGED, icon=":material/check:")
    if not visitor.me.must_change_password or st.session_state.get("keep_password"):
        return
    word = "**Choose a password of your own.**"
    with st.expander(word, icon=":material/key:") if folded else st.container(border=True):
        why = "The present one was generated, and somebody else may have seen it."
        st.markdown(why if folded else f"{word} {why}")
        if change_password(visitor, key="first"):
            st.session_state["password_changed"] = True
            st.rerun()
        if st.button("Not now", key="keep"):
            st.session_state["keep_password"] = True
            st.rerun()


def change_password(visitor: Visitor, *, key: str = "account") -> bool:
    """Show the form that changes the password; true on the run in which it was changed."""
    with st.form(f"password-{key}", clear_on_submit=True, border=False):
        present = st.text_input("Present password", type="password", autocomplete="current-password")
        new = st.text_input("New password", type="password", autocomplete="new-password")
        again = st.text_input("New password again", type="password", autocomplete="new-password")
        sent = st.form_submit_button("Change password", type="primary")
    if not sent:
        return False
    if new != again:
        st.error("The two new passwords differ. Nothing was changed.")
        return False
    changed = False
    with told(current="The present password", new="The new password"):
        visitor.client.change_password(present, new)
        st.session_state["keep_password"] = True
        changed = True
    return changed


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
