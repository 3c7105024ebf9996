"""Using a student on the pages: predictions of the pool, labelling the rest, drift."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from client import Client, Project
from tests.api.test_pool_predictions import add_student
from tests.predictor.bundles import text_bundle
from tests.ui.servers import ApiServer, UiProcess
from winnow import jobs
from winnow.db.session import Database


@pytest.fixture
def project(
    owner: Client, api_server: ApiServer, database: Database, make_project: Callable[..., Project], tmp_path: Path
) -> Project:
    """Twenty items, eighty rows of an own test set, and a student that gets them right."""
    made = make_project([f"ham {n}x" for n in range(20)])
    rows = [
        {"text": f"{('spam', 'ham')[n % 2]} t{n}", "label": ("spam", "ham")[n % 2], "split": "test"} for n in range(80)
    ]
    assert not owner.add_items(made.id, rows).rejected
    add_student(database, api_server.app.state.storage, int(made.id), 1, text_bundle(tmp_path / "b", ["spam", "ham"]))
    return made


@pytest.mark.usefixtures("enter")
@pytest.mark.browser
def test_the_rest_is_labelled_after_a_look_and_taken_back(
    page: Page, ui: UiProcess, owner: Client, project: Project
) -> None:
    page.goto(f"{ui.url}/students?project={project.id}")
    write = page.get_by_role("button", name="Accept these labels")
    expect(write).to_be_disabled()
    page.get_by_role("button", name="See what that would be").click()
    expect(page.get_by_text("20 labels would be accepted, 100 % of the 20 that are left")).to_be_visible()
    assert owner.stats(project.id)["model_labels"] == 0
    write.click()
    expect(page.get_by_text("20 labels by student v1 stand")).to_be_visible()
    assert owner.stats(project.id)["model_labels"] == 20
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text(re.compile("^0 labels by student v1 stand"))).to_be_visible()
    assert owner.stats(project.id)["model_labels"] == 0
    with page.expect_download() as saving:
        page.get_by_role("link", name="Predictions as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(saving.value.path()).read_text())))
    assert [row["label"] for row in rows] == ["ham"] * 20


@pytest.mark.usefixtures("enter")
@pytest.mark.browser
def test_drift_is_said_in_words(page: Page, ui: UiProcess, database: Database, project: Project) -> None:
    words = "The 80 newest items differ from the pool: 99 % of them are *ham*."
    part = {"pool": 0.5, "new": 0.9, "low": 0.3, "high": 0.5}
    found = {
        "items": 80, "since": "2026-01-01T00:00:00Z", "version": 1, "against": "pool", "compared": [100, 80],
        "p_value": 0.001, "drifted": True, "classes": {"ham": part}, "confidence": part, "novelty": part,
        "words": words,
    }  # fmt: skip
    with database.write() as session:
        job = jobs.create_job(session, "drift", int(project.id))
        job.state, job.result = "succeeded", {"drift": found}
    page.goto(f"{ui.url}/rounds?project={project.id}")
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
