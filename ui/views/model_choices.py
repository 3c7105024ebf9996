"""Choosing, among a project's settings, what teaches, what the student is, and what it must run on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import streamlit as st

from client import Client, Project
from ui.escaping import escape
from ui.views.language_model import limit_fields
from ui.views.model_words import Words, of_student, of_teacher

Entry = Mapping[str, Any]
_DEFAULT = "auto"
_HERE = "The machine that the workers run on (default)"


_SAVED = "settings_saved_times"


def note_saved() -> None:
    """Say that what the form said was saved."""
    st.session_state[_SAVED] = st.session_state.get(_SAVED, 0) + 1


class BadProfile(Exception):
    """What was put in as a device's profile is none."""


@dataclass(frozen=True)
class Offered:
    """What the service offers a project: teachers, families of students, language models."""

    teachers: Sequence[Entry]
    students: Sequence[Entry]
    endpoints: Sequence[Entry]

    @classmethod
    def of(cls, client: Client, project: Project) -> Self:
        """What may be named by projects of this kind."""
        teachers, students = client.teachers(), client.student_families()
        return cls(_for_task(teachers, project), _for_task(students, project), client.llm_endpoints())


def _for_task(entries: Sequence[Entry], project: Project) -> list[Entry]:
    return [entry for entry in entries if project.task in entry["tasks"]]


@dataclass(frozen=True)
class Wanted:
    """What the form says; a limit of 0 is none, and a ``profile`` that was put in counts in place of the device."""

    teacher: str
    student: str
    here: bool = True
    profile: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    cold_retrain: bool = True

    def changes(self, project: Project) -> dict[str, Any]:
        """As settings: with the project's budget and these limits in it, and the device where it is another one.

        Raises:
            BadProfile: The profile is no JSON object.
        """
        others = {
            name: limit for name, limit in (project.settings.get("budget") or {}).items() if name not in self.limits
        }
        changed: dict[str, Any] = {
            "teacher": self.teacher,
            "student": self.student,
            "cold_retrain": self.cold_retrain,
            "budget": {**others, **{name: most for name, most in self.limits.items() if most}},
        }
        if self.profile.strip():
            changed["device"] = _read_profile(self.profile)
        elif self.here:
            changed["device"] = None
        return changed


def _read_profile(text: str) -> dict[str, Any]:
    try:
        profile = json.loads(text)
    except ValueError:
        profile = None
    if not isinstance(profile, dict):
        raise BadProfile("The profile is not what `winnow profile --json` prints: a JSON object. Nothing was saved.")
    return profile


def model_fields(project: Project, offered: Offered) -> Wanted:
    """Ask within a form."""
    st.subheader("Teacher and student", anchor=False)
    left, right = st.columns(2)
    with left:
        teacher = _select("Teacher", str(project.settings.get("teacher", _DEFAULT)), offered.teachers, of_teacher)
    with right:
        student = _select("Student", str(project.settings.get("student", _DEFAULT)), offered.students, of_student)
    with st.expander("What they are, and what they cost"):
        st.caption(
            "The teacher learns from people's labels and says of each item of the pool what it is. The student is the "
            "small model that learns from what the teacher says, and that you take away."
        )
        st.markdown(words_list("Teachers", offered.teachers, of_teacher))
        st.markdown(words_list("Students", offered.students, of_student))
    afresh = st.checkbox(
        "Try students that are trained afresh, in the background",
        bool(project.settings.get("cold_retrain", True)),
        help="When a student that went on from the last one may have parted from its teacher. It takes the place of "
        "the current one only where it is better.",
    )
    limits = limit_fields(project, offered.endpoints)
    here, profile, device_limits = _device_fields(project)
    return Wanted(teacher, student, here, profile, {**limits, **device_limits}, afresh)


def _select(name: str, present: str, entries: Sequence[Entry], words: Callable[[Entry], Words]) -> str:
    short = {str(entry["name"]): words(entry).short for entry in entries}
    short.setdefault(present, "no longer offered here")
    names = list(short)

    def shown(value: str) -> str:
        default = " (default)" if value == _DEFAULT else ""
        return f"{value}{default}: {short[value]}" if short[value] else f"{value}{default}"

    return str(st.selectbox(name, names, index=names.index(present), format_func=shown))


def words_list(head: str, entries: Sequence[Entry], words: Callable[[Entry], Words]) -> str:
    """A Markdown list of what each is and costs: it stays readable on a telephone, where a table does not."""
    lines = [f"**{head}**", ""]
    for entry in entries:
        found = words(entry)
        lines.append(f"- **{escape(str(entry['name']))}**: {escape(found.what)} *Costs:* {escape(found.costs)}")
    return "\n".join(lines)


def _device_fields(project: Project) -> tuple[bool, str, dict[str, float]]:
    """Whether the student is for the workers' machine, a profile of another one, and what it may take there."""
    device = project.settings.get("device")
    budget = project.settings.get("budget") or {}
    there = [] if device is None else [f"As profiled: {device.get('machine') or 'another machine'}"]
    machines = [_HERE, *there]
    left, middle, right = st.columns([2, 1, 1])
    chosen = left.selectbox(
        "Device that the student is for",
        machines,
        index=len(machines) - 1,
        help="The limit of milliseconds is held against this machine.",
    )
    most_ms = middle.number_input(
        "Most ms an item", 0.0, value=float(budget.get("student_ms", 0.0)), step=0.001, format="%g", help="0: no limit."
    )
    most_mb = right.number_input(
        "Most MB", 0.0, value=float(budget.get("student_mb", 0.0)), step=0.1, format="%g", help="0: no limit."
    )
    with st.expander("Another device"):
        profile = st.text_area(
            "Profile of the device",
            height=80,
            key=f"device-profile-{st.session_state.get(_SAVED, 0)}",  # empty again once it was saved
            placeholder='{"machine": …, "families": …}',
            help="Run winnow profile --json on it, and paste here what that prints. It counts in place of the choice "
            "above.",
        )
    return chosen == _HERE, profile, {"student_ms": float(most_ms), "student_mb": float(most_mb)}
