"""The page script: who is there, where they are, and the view that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import streamlit as st

from client import ClientError, ProblemError
from ui.brand import LOGO, MARK
from ui.escaping import escape
from ui.pages import PAGES
from ui.session import Visitor, project_id, remember_pages, visitor
from ui.views.sidebar import sidebar
from ui.views.sign_in import sign_in

_WIDE = {"label", "rounds", "students"}


def _show(view: Callable[[Visitor], None], who: Visitor | None) -> None:
    if who is None:
        sign_in()
        return
    try:
        view(who)
    except ProblemError as problem:
        if problem.status == 401:
            sign_in("Your session has ended. Sign in again and you are back here.")
            return
        st.error(escape(problem.sentence), icon=":material/error:")
    except ClientError as error:
        st.error(escape(str(error)), icon=":material/cloud_off:")


def _run() -> None:
    st.logo(LOGO, size="large", icon_image=MARK)
    try:
        who = visitor()
    except ClientError as error:
        st.set_page_config(page_title="Winnow", page_icon=MARK)
        st.title("Winnow")
        st.error(
            f"The server does not answer yet. Reload this page in a moment. ({escape(str(error))})",
            icon=":material/cloud_off:",
        )
        return
    # No icon here: the browser would be told to fetch it from a font host as the page's own. The links bear them.
    shown = {
        page.path: st.Page(
            partial(_show, page.view, who),
            title=page.title,
            url_path=page.path,
            default=page.path == "projects",
        )
        for page in PAGES
    }
    remember_pages(shown)
    here = st.navigation(list(shown.values()), position="hidden")
    layout: Literal["wide", "centered"] = "wide" if here.url_path in _WIDE else "centered"
    st.set_page_config(page_title=f"{here.title} · Winnow", page_icon=MARK, layout=layout)
    if who is not None:
        sidebar(who, shown, {page.path: page.icon for page in PAGES}, project_id())
    here.run()


_run()
