"""Rounds: how far the student has come, what each round did, and training now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from client import Project
from ui.curve import CurvePoint, curve
from ui.escaping import escape
from ui.session import Visitor, go, open_project, told
from ui.views.drift import show_drift
from ui.views.encoder import show_encoder
from ui.views.language_model import asks_one, notice
from ui.views.progress import show_job

_MEASURABLE = 50
_ROUNDS_SHOWN = 100


def rounds(visitor: Visitor) -> None:
    """Show the page."""
    project = open_project(visitor)
    if project is None:
        return
    st.title(escape(project.name), anchor=False)
    if asks_one(project):
        with told():
            st.caption(escape(notice(project, visitor.client.llm_endpoints()) or ""))
    _live(visitor, project)


@st.fragment(run_every=3.0)
def _live(visitor: Visitor, project: Project) -> None:
    with told():
        stats = visitor.client.stats(project.id)
        done = visitor.client.rounds(project.id)
        if not stats.get("items"):
            _no_items(project)
            return
        _numbers(stats)
        _train_now(visitor, project, stats)
        show_encoder(stats)
        show_drift(stats)
        st.subheader("Learning curve", anchor=False)
        _curve(project, stats)
        st.subheader("Rounds", anchor=False)
        if done:
            if word := explanation(done[0]):
                st.caption(escape(word))
            st.table([_row(entry) for entry in done[:_ROUNDS_SHOWN]], border="horizontal", hide_index=True)
        else:
            st.caption("No round yet. The first one comes by itself after about ten labels of at least two classes.")


def _no_items(project: Project) -> None:
    with st.container(border=True):
        st.markdown("**No items yet.** Add data: labeling can begin a few seconds later.")
        if project.role == "manager" and st.button("Add data", type="primary"):
            go("import", project.id)


def _numbers(stats: Mapping[str, Any]) -> None:
    accuracy = stats.get("accuracy")
    word = "not yet measurable"
    if accuracy:
        sure = accuracy.get("low") is not None
        word = f"{percent(accuracy['low'])} to {percent(accuracy['high'])}" if sure else "no interval yet"
    with st.container(horizontal=True):
        for name in ("items", "labeled", "remaining"):
            st.metric(name.capitalize(), f"{stats[name]:,}", border=True, width=150, height="stretch")
        value = percent(accuracy["value"]) if accuracy else "—"
        st.metric(
            "Accuracy", value, word, delta_color="off", delta_arrow="off", border=True, width=175, height="stretch"
        )


def _train_now(visitor: Visitor, project: Project, stats: Mapping[str, Any]) -> None:
    key = f"round-job-{project.id}"
    word, button = st.columns([4, 1], vertical_alignment="center")
    freshness = stats.get("freshness") or {}
    word.caption(freshness_line(freshness))
    if freshness.get("trouble"):
        st.error(escape(str(freshness["trouble"])))
    if project.role == "manager" and button.button("Train now", width="stretch"):
        st.session_state[key] = visitor.client.start_round(project.id).id
    if key in st.session_state:
        job = visitor.client.job(st.session_state[key])
        show_job(job, "Round")
        if job.done:
            del st.session_state[key]
            state = (job.result or {}).get("state")
            if state in {"no_data", "skipped"}:
                st.info(escape(str((job.result or {}).get("reason") or "There is nothing to train on yet.")))


def _curve(project: Project, stats: Mapping[str, Any]) -> None:
    points = curve_points(stats.get("learning_curve") or [])
    if not points and project.settings.get("holdout") is False:
        st.info("Not measured: this project holds out no items to measure on.", icon=":material/straighten:")
    elif not points and int(stats.get("holdout_items") or 0) < _MEASURABLE:
        st.info(
            "Not measurable: this project is too small to set items aside for measuring. Add more data, or bring your "
            "own test set: labeled rows with `test` in a column `split`.",
            icon=":material/straighten:",
        )
    elif not points:
        st.info(
            f"Not yet measurable: accuracy is measured on labels of held-out items, which are mixed in unnoticed while "
            f"you label. {int(stats.get('holdout_labels') or 0)} of at least {_MEASURABLE} are there.",
            icon=":material/hourglass_top:",
        )
    else:
        curve(points, "Accuracy of the student on held-out items, with its 95 % interval")


def curve_points(rows: Sequence[Mapping[str, Any]]) -> list[CurvePoint]:
    """The measured points of ``stats.learning_curve``; rows without a value are left out."""
    points = []
    for row in rows:
        accuracy = row.get("accuracy")
        measured = accuracy if isinstance(accuracy, Mapping) else {**row, "value": row.get("value", accuracy)}
        if measured.get("value") is None:
            continue
        points.append(
            CurvePoint(int(row["labels"]), float(measured["value"]), measured.get("low"), measured.get("high"))
        )
    return sorted(points, key=lambda point: point.labels)


def freshness_line(freshness: Mapping[str, Any]) -> str:
    """How fresh the order of the items is, in words."""
    ranked = int(freshness.get("round") or 0)
    parts = [f"Ranked by round {ranked}" if ranked else "No round yet"]
    behind = int(freshness.get("labels_behind") or 0)
    if ranked and behind:
        parts.append(f"{behind} {'label' if behind == 1 else 'labels'} behind")
    until = freshness.get("next_round_in")
    if freshness.get("training"):
        parts.append("a round is running")
    elif until:
        parts.append(
            f"{'next round' if ranked else 'the first'} in about {until} {'label' if until == 1 else 'labels'}"
        )
    return ", ".join(parts)


def explanation(entry: Mapping[str, Any]) -> str | None:
    """What a round chose and why, in words; None where it was written before rounds said so."""
    said = (entry.get("metrics") or {}).get("explanation")
    return f"Round {entry['n']}: {said[0].lower()}{said[1:]}" if said else None


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    metrics = entry.get("metrics") or {}
    accuracy = metrics.get("accuracy")
    value = accuracy.get("value") if isinstance(accuracy, Mapping) else accuracy
    student = entry.get("student")
    promoted = {True: "yes", False: "held"}[bool(entry.get("promoted"))] if student is not None else "—"
    return {
        "Round": str(entry["n"]),
        "Labels": f"{entry.get('labels') or 0:,}",
        "Accuracy": percent(value) if isinstance(value, int | float) else "—",
        "Student": f"v{student}" if student is not None else "—",
        "Promoted": promoted,
        "Why": escape(str(entry.get("reason") or "")),
        "Seconds": f"{float(entry.get('seconds') or 0):.1f}",
    }
