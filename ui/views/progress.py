"""How a job stands, for people."""

from __future__ import annotations

import streamlit as st

from client import Job
from ui.escaping import escape


def show_job(job: Job, what: str) -> None:
    """A progress bar while it runs, and how it ended when it has."""
    if job.state == "failed":
        problem = job.error or {}
        reason = problem.get("detail") or problem.get("title") or job.message or "no reason given"
        st.error(f"{what} failed: {escape(str(reason))}")
    elif job.state == "canceled":
        st.info(f"{what} was canceled.")
    elif not job.done:
        word = job.message or ("waiting for the worker" if job.state == "queued" else "running")
        st.progress(min(max(job.progress, 0.0), 1.0), text=f"{what}: {escape(word)}")
