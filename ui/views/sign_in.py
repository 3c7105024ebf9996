"""Signing in."""

from __future__ import annotations

import streamlit as st

from ui.doorway import sign_in_form


def sign_in(word: str | None = None) -> None:
    """Show the form where nobody is signed in; ``word`` says why it stands there."""
    st.title("Sign in")
    st.caption("Winnow — label less, train small.")
    if word:
        st.info(word)
    with st.container(width=380):
        sign_in_form()
    st.caption(
        "First time here? The terminal that runs the server shows the owner's e-mail and password. "
        "Everybody else gets theirs from the owner."
    )
