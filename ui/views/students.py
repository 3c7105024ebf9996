"""Students: their versions, rolling back, and what can be taken away: bundles and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from ui.download import download_link
from ui.escaping import escape
from ui.session import Visitor, open_project, told
from ui.views.label_rest import label_rest
from ui.views.progress import show_job
from ui.views.report import show_report
from ui.views.rounds import percent

_FORMATS = {
    "onnx-int8": "ONNX, 8 bit — small and fast",
    "onnx": "ONNX, full precision",
    "numpy": "Plain NumPy — nothing else to install",
    "openvino": "OpenVINO",
    "litert": "LiteRT (TFLite)",
    "executorch": "ExecuTorch (PyTorch on devices)",
    "huggingface": "Folder for the Hugging Face hub",
}
_TEXT_FORMATS = {**_FORMATS, "cascade": "Cascade — a small teacher is asked where the student is not sure"}


def students(visitor: Visitor) -> None:
    """Show the page."""
    project = open_project(visitor)
    if project is None:
        return
    st.title(escape(project.name), anchor=False)
    st.subheader("Students", anchor=False)
    found: list[dict[str, Any]] = []
    with told():
        found = visitor.client.students(project.id)
        if found:
            _current(visitor, project, found)
            show_report(visitor, project)
            _versions(visitor, project, found)
        else:
            st.info(
                "No student yet. The first one is trained after about ten labels of at least two classes; "
                "then it can be downloaded here."
            )
    if project.role != "annotator":
        if found:
            _predictions(project)
            label_rest(visitor, project)
        _labels(project)


def _current(visitor: Visitor, project: Project, found: list[dict[str, Any]]) -> None:
    newest = max(found, key=lambda student: str(student.get("promoted_at") or ""))
    current = next((student for student in found if student.get("current")), newest)
    with st.container(border=True):
        st.markdown(f"**Student v{current['version']}** · {_facts(current)}")
        if project.role == "annotator":
            return
        choice, button = st.columns([3, 1], vertical_alignment="bottom")
        formats = _TEXT_FORMATS if project.task == "text" else _FORMATS
        kind = choice.selectbox("Format", list(formats), format_func=formats.__getitem__)
        if button.button("Make the bundle", type="primary", width="stretch"):
            job = visitor.client.export_student(project.id, current["version"], format=kind)
            st.session_state[_key(project)] = (job.id, f"v{current['version']} {kind}")
        if _key(project) in st.session_state:
            _export(visitor, project)


@st.fragment(run_every=1.0)
def _export(visitor: Visitor, project: Project) -> None:
    job_id, what = st.session_state[_key(project)]
    with told():
        job = visitor.client.job(job_id)
        show_job(job, f"Bundle {what}")
        if job.state == "succeeded" and job.result:
            download_link(f"Download the bundle {what}", str(job.result["download_url"]), key=f"bundle-{job.id}")
            st.caption(
                "Unpack it, `pip install -r requirements.txt`, and `python predict.py` runs it: no server needed."
            )


def _versions(visitor: Visitor, project: Project, found: list[dict[str, Any]]) -> None:
    with st.expander(f"All versions ({len(found)})"):
        for student in found:
            about, button = st.columns([5, 1], vertical_alignment="center")
            mark = " · current" if student.get("current") else ""
            about.markdown(f"v{student['version']} · round {student.get('round')} · {_facts(student)}{mark}")
            can = project.role == "manager" and not student.get("current")
            if can and button.button("Promote", key=f"promote-{student['version']}"):
                visitor.client.promote_student(project.id, int(student["version"]))
                st.rerun()


def _predictions(project: Project) -> None:
    st.subheader("Predictions of the whole pool", anchor=False)
    st.caption("What people labelled, and what the current student says of all else, made while it is downloaded.")
    with st.container(horizontal=True):
        for kind, name in {"csv": "CSV", "jsonl": "JSONL"}.items():
            path = f"/v1/projects/{project.id}/predictions?format={kind}"
            download_link(f"Predictions as {name}", path, key=f"predictions-{kind}")


def _labels(project: Project) -> None:
    st.subheader("Labels", anchor=False)
    st.caption("Every label that stands, with who gave it, when, and how its item was chosen.")
    with st.container(horizontal=True):
        for kind, name in {"csv": "CSV", "jsonl": "JSONL", "parquet": "Parquet"}.items():
            download_link(f"Download {name}", f"/v1/projects/{project.id}/labels?format={kind}", key=f"labels-{kind}")


def _facts(student: Mapping[str, Any]) -> str:
    metrics = student.get("metrics") or {}
    accuracy = metrics.get("accuracy")
    value = accuracy.get("value") if isinstance(accuracy, Mapping) else accuracy
    parts = [f"{student.get('labels', 0):,} labels", escape(str(student.get("family", "")))]
    parts.append(f"accuracy {percent(value)}" if isinstance(value, int | float) else "accuracy not yet measurable")
    return " · ".join(part for part in parts if part)


def _key(project: Project) -> str:
    return f"export-{project.id}"
