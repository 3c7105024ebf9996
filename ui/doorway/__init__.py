"""The sign-in form: it posts to this origin, so no password and no token passes through the page script."""

from __future__ import annotations

import streamlit as st

from ui.page_code import read_page_code

# Not isolated: password managers look for the form in the page itself.
_mount = st.components.v2.component("winnow_doorway", isolate_styles=False, **read_page_code(__name__, "doorway"))
_SIGN_OUT = """
export default function ({ parentElement, data }) {
  const button = parentElement.querySelector("button");
  button.textContent = data.text;
  button.onclick = async () => {
    await fetch("/auth/sign-out", { method: "POST", credentials: "same-origin" });
    location.assign("/");
  };
}
"""
_STYLE = """
button { font: inherit; font-family: var(--st-font); font-size: 0.88rem; color: var(--st-text-color); background: none;
  padding: 0.4rem 0.8rem; border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
  cursor: pointer; }
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
"""
_mount_exit = st.components.v2.component(
    "winnow_exit", html='<button type="button"></button>', css=_STYLE, js=_SIGN_OUT
)


def sign_in_form() -> None:
    """Show the form; the page reloads, signed in, when the password fits."""
    _mount(key="doorway")


def sign_out_button(text: str = "Sign out") -> None:
    """Show a button that ends the session here and at the API."""
    _mount_exit(key="exit", data={"text": text})
