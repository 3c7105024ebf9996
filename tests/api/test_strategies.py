"""The query strategies to choose from, over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import httpx
import pytest

from tests.api.conftest import make_project
from winnow import peer_strategies
from winnow.peer_strategies import PEER_STRATEGIES
from winnow.project_settings import STRATEGIES


def names(owner: httpx.Client) -> list[str]:
    answer = owner.get("/strategies").json()
    assert answer["next"] is None
    return [entry["name"] for entry in answer["data"]]


def test_ours_come_first_and_then_those_of_libraries_that_are_installed(owner: httpx.Client) -> None:
    listed = names(owner)
    assert listed[: len(STRATEGIES)] == list(STRATEGIES)
    here = {"modal"} | {library for library in ("skactiveml", "small_text") if find_spec(library) is not None}
    assert listed[len(STRATEGIES) :] == [name for name in PEER_STRATEGIES if name.partition(":")[0] in here]
    assert "modal:margin_sampling" in listed


def test_each_says_its_library(owner: httpx.Client) -> None:
    library = {entry["name"]: entry["library"] for entry in owner.get("/strategies").json()["data"]}
    assert (library["auto"], library["modal:Committee"]) == (None, "modAL")


def test_a_library_that_is_missing_is_left_out(owner: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peer_strategies.LIBRARIES, "modal", "no_such_module")
    assert not any(name.startswith("modal:") for name in names(owner))


def test_whatever_is_listed_may_be_chosen(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    for name in names(owner):
        answer = owner.patch(f"/projects/{project}", json={"settings": {"strategy": name}})
        assert answer.json()["settings"]["strategy"] == name


def test_nothing_is_imported_to_find_out() -> None:
    code = """
import json, sys
from api.routes.strategies import list_strategies
listed = [entry.name for entry in list_strategies(None).data]
heavy = ["torch", "sklearn", "scipy", "modAL", "skactiveml", "small_text", "sampler"]
print(json.dumps(["modal:Committee" in listed, [name for name in heavy if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, []]
