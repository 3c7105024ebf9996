"""Language models on the pages: whether a project asks one, where its texts go then, and what it may spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from client import Project
from ui.escaping import escape

PREFIX = "llm:"
Endpoint = Mapping[str, Any]


def asks_one(project: Project) -> bool:
    """Whether its teacher is a language model."""
    return str(project.settings.get("teacher", "auto")).startswith(PREFIX)


def notice(project: Project, endpoints: Sequence[Endpoint]) -> str | None:
    """What people must know of a project whose teacher is a language model; None of any other."""
    if not asks_one(project):
        return None
    name = str(project.settings["teacher"])
    endpoint = next((entry for entry in endpoints if entry["name"] == name), None)
    if endpoint is None:
        return f"This project names {name}, which is not registered here: nothing is sent."
    if endpoint["on_this_machine"]:
        return f"Texts of this project are sent to {endpoint['model']} ({name}) on this machine."
    plainly = "" if endpoint["encrypted"] else ", unencrypted"
    return (
        f"Texts of this project leave this machine: items, labelled examples and guidelines are sent to "
        f"{endpoint['host']} ({name}, {endpoint['model']}){plainly}. Held-out items are not."
    )


def describe(endpoint: Endpoint) -> str:
    """One registered language model, before it is chosen."""
    where = "on this machine" if endpoint["on_this_machine"] else f"texts leave this machine for {endpoint['host']}"
    price = f"{endpoint['price_in']:g} and {endpoint['price_out']:g} {endpoint['currency']} a million tokens in and out"
    limit = endpoint.get("project_cost")
    most = "" if limit is None else f", {limit:g} {endpoint['currency']} a project at most"
    return (
        f"{endpoint['name']}: {endpoint['model']}, {where}; {endpoint['items_per_round']} items a round; {price}{most}."
    )


def limit_fields(project: Project, endpoints: Sequence[Endpoint]) -> dict[str, float]:
    """Ask, within a form, how much one may cost: limits of the budget, 0 for none; empty where none is named."""
    if project.task != "text" or not (endpoints or asks_one(project)):
        return {}
    for endpoint in endpoints:
        st.caption(escape(describe(endpoint)))
    budget = project.settings.get("budget") or {}
    left, right = st.columns(2)
    cost = left.number_input(
        "Most that the language model may cost", 0.0, value=float(budget.get("llm_cost", 0.0)), help="0: no limit."
    )
    calls = right.number_input("Most calls of it", 0, value=int(budget.get("llm_calls", 0)), help="0: no limit.")
    return {"llm_cost": float(cost), "llm_calls": int(calls)}
