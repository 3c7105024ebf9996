"""Labelling the rest: what the student would label by itself, doing it, and taking it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from ui.escaping import escape
from ui.session import Visitor, told
from ui.views.progress import show_job


def label_rest(visitor: Visitor, project: Project) -> None:
    """Show the section; managers may act in it, viewers see the runs."""
    st.subheader("Label the rest", anchor=False)
    st.caption(
        "Accept the student's labels where it is sure enough. How sure that is, is certified on held-out labels: "
        "nothing is written before you have seen how many there are. They are marked as a model's, are neither "
        "trained on nor measured with, can be taken back, and people's labels take their place."
    )
    if project.role == "manager":
        _ask(visitor, project)
    _live(visitor, project)


def _ask(visitor: Visitor, project: Project) -> None:
    share, look, write = st.columns([2, 2, 2], vertical_alignment="bottom")
    percent = share.number_input("Errors allowed, in %", 0.1, 50.0, 5.0, 0.5)
    with told():
        if look.button("See what that would be", width="stretch"):
            _begin(visitor, project, percent, dry_run=True)
        seen = st.session_state.get(_seen(project))
        ready = seen is not None and seen["alpha"] == percent / 100 and seen["threshold"] is not None
        if write.button("Accept these labels", type="primary", width="stretch", disabled=not ready):
            _begin(visitor, project, percent, dry_run=False)


def _begin(visitor: Visitor, project: Project, percent: float, *, dry_run: bool) -> None:
    job = visitor.client.label_rest(project.id, alpha=percent / 100, dry_run=dry_run)
    st.session_state[_key(project)] = job.id
    st.session_state.pop(_seen(project), None)


@st.fragment(run_every=1.0)
def _live(visitor: Visitor, project: Project) -> None:
    with told():
        if _key(project) in st.session_state:
            job = visitor.client.job(st.session_state[_key(project)])
            show_job(job, "Reading the pool" if job.kind == "label-rest" else "Taking labels back")
            if job.done:
                del st.session_state[_key(project)]
                st.session_state[_seen(project)] = job.result if job.kind == "label-rest" else None
                st.rerun()
        if result := st.session_state.get(_seen(project)):
            (st.success if result["threshold"] is not None else st.warning)(escape(sentence(result)))
        for run in visitor.client.label_runs(project.id):
            if not run["dry_run"] and (run["standing"] or run["accepted"]):
                _run(visitor, project, run)


def _run(visitor: Visitor, project: Project, run: Mapping[str, Any]) -> None:
    about, button = st.columns([5, 1], vertical_alignment="center")
    bound = "" if run["bound"] is None else f" · at most {100 * run['bound']:.1f} % wrong"
    about.markdown(f"{run['standing']:,} labels by student v{run['version']} stand{bound}")
    can = project.role == "manager" and run["standing"]
    if can and button.button("Take back", key=f"undo-run-{run['id']}", width="stretch"):
        st.session_state[_key(project)] = visitor.client.undo_label_run(project.id, run["id"]).id


def sentence(result: Mapping[str, Any]) -> str:
    """What a run found, in words.

    >>> sentence({"threshold": None, "reason": "Cannot certify."})
    'Cannot certify.'
    """
    if result["threshold"] is None:
        return str(result["reason"])
    done = "would be accepted" if result["dry_run"] else "were accepted"
    share = f", {100 * result['coverage']:.0f} % of the {result['left']:,} that are left" if result["dry_run"] else ""
    return f"{result['accepted']:,} labels {done}{share}. {result['reason']}"


def _key(project: Project) -> str:
    return f"label-rest-{project.id}"


def _seen(project: Project) -> str:
    return f"label-rest-seen-{project.id}"
