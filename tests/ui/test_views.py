"""The pages around labeling: projects, rounds, students, members, settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from client import Client, Project
from tests.ui.servers import UiProcess
from tests.ui.watch import choose
from ui.curve import CurvePoint
from ui.escaping import escape
from ui.views.new_project import label_lines
from ui.views.rounds import curve_points, explanation, freshness_line
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Encoder, Round, Student
from winnow.registry import add_student
from winnow.rounds import record_round


def add_round(
    database: Database, project: Project, n: int, labels: int, accuracy: dict[str, float] | None, **more: object
) -> None:
    """A round as the worker leaves it, with the student that it trained."""
    number = int(project.id)
    metrics = {"accuracy": accuracy, **more}
    with database.write() as session:
        add_student(
            session,
            Student(
                project_id=number,
                version=n,
                round=n,
                family="hashed",
                path="x",
                labels=labels,
                metrics=metrics,
                recipe={},
            ),
            promoted=True,
        )
        record_round(
            session,
            Round(
                project_id=number, n=n, state="trained", cutoff=0, labels=labels, strategy="auto", student_version=n,
                promoted=True, reason="no evidence of harm", metrics=metrics, costs={}, seconds=1.25,
                started_at=utcnow(),
            ),
        )  # fmt: skip


@pytest.mark.usefixtures("enter")
@pytest.mark.browser
class TestPages:
    def test_rounds_show_the_measured_curve_and_say_what_was_promoted_and_why(
        self, page: Page, ui: UiProcess, owner: Client, database: Database, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["one", "two"])
        page.goto(f"{ui.url}/rounds?project={project.id}")
        expect(page.get_by_text("Not measured: this project holds out no items")).to_be_visible()
        add_round(database, project, 1, 20, None)
        add_round(database, project, 2, 60, {"value": 0.7, "low": 0.55, "high": 0.82, "labels": 50})
        said = "Next come items that cover the pool: 12 labels of 20 are too few. The teacher *saw* much."
        add_round(database, project, 3, 90, {"value": 0.8, "low": 0.66, "high": 0.9, "labels": 60}, explanation=said)
        expect(page.locator(".curve .dot")).to_have_count(2)  # by itself: the page looks again
        expect(page.locator(".curve .band")).to_have_count(1)
        expect(page.get_by_test_id("stMetricValue").filter(has_text="80.0 %")).to_be_visible()
        expect(page.get_by_text(f"Round 3: n{said[1:]}", exact=True)).to_be_visible()
        newest = page.get_by_test_id("stTable").locator("tbody tr").first
        expect(newest).to_have_text("390" + "80.0 %" + "v3" + "yes" + "no evidence of harm" + "1.2")

    def test_labels_are_downloaded_through_the_pages_own_origin(
        self, page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["one", "two"])
        batch = owner.batch(project.id, 2)
        owner.send_labels(project.id, [{"item": item["id"], "label": "spam"} for item in batch.items])
        page.goto(f"{ui.url}/students?project={project.id}")
        with page.expect_download() as saving:
            page.get_by_role("link", name="Download CSV").click()
        rows = list(csv.DictReader(io.StringIO(Path(saving.value.path()).read_text())))
        assert [row["label"] for row in rows] == ["spam", "spam"]

    def test_an_older_student_can_be_promoted_again(
        self, page: Page, ui: UiProcess, owner: Client, database: Database, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["one", "two"])
        add_round(database, project, 1, 20, None)
        add_round(database, project, 2, 30, None)
        page.goto(f"{ui.url}/students?project={project.id}")
        expect(page.get_by_text("Student v2")).to_be_visible()
        page.get_by_text("All versions (2)").click()
        page.get_by_role("button", name="Promote").click()
        expect(page.get_by_text("Student v1")).to_be_visible()
        assert owner.student(project.id)["version"] == 1

    def test_somebody_new_is_made_a_member_with_a_password_shown_once(
        self, page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
    ) -> None:
        project = make_project([])
        page.goto(f"{ui.url}/members?project={project.id}")
        page.get_by_label("E-mail").fill("anna@example.org")
        page.get_by_text("Make an account for this address").click()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("It is not shown again")).to_be_visible()
        assert [(m["email"], m["role"]) for m in owner.members(project.id)][1:] == [("anna@example.org", "annotator")]
        expect(page.get_by_label("E-mail")).to_have_count(1)  # the form that was sent has gone
        expect(page.get_by_label("E-mail")).to_have_value("")
        expect(page.get_by_role("checkbox")).not_to_be_checked()
        page.get_by_label("E-mail").fill("nobody@example.org")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("nobody")

    def test_settings_are_changed_and_a_bad_one_is_refused_in_words(
        self, page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
    ) -> None:
        project = make_project([])
        page.goto(f"{ui.url}/settings?project={project.id}")
        page.get_by_role("textbox", name="Labels per round").fill("often")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("Labels per round must be a whole number")
        page.get_by_role("textbox", name="Labels per round").fill("25")
        page.get_by_label("Further labels, one per line").fill("new one")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        changed = owner.project(project.id)
        assert changed.settings["batch_size"] == 25
        assert changed.class_names == ["spam", "ham", "other", "new one"]

    def test_strategies_of_other_libraries_can_be_chosen_in_the_settings(
        self, page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
    ) -> None:
        project = make_project([])
        page.goto(f"{ui.url}/settings?project={project.id}")
        choose(page, "Query strategy", "modal:margin_sampling")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert owner.project(project.id).settings["strategy"] == "modal:margin_sampling"

    def test_a_language_that_the_encoder_does_not_know_is_said_and_another_encoder_taken(
        self, page: Page, ui: UiProcess, owner: Client, database: Database, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["eins", "zwei"])
        seen = {"sample": 20, "items": 20, "found": {"de": 18}, "unclear": 2, "known": ["en"]}
        with database.write() as session:
            session.add(
                Encoder(
                    project_id=int(project.id), name="minilm", version="1", digest="x", dim=2, dtype="float16",
                    path="x", details={"languages": seen},
                )
            )  # fmt: skip
        said = "About 90 % of a sample of 20 texts look German; the encoder minilm was trained on English."
        page.goto(f"{ui.url}/rounds?project={project.id}")
        expect(page.get_by_role("alert")).to_contain_text(said)
        page.goto(f"{ui.url}/settings?project={project.id}")
        expect(page.get_by_role("alert")).to_contain_text(said)
        choose(page, "Encoder", "hashed")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert owner.project(project.id).settings["encoder"] == "hashed"

    def test_a_project_too_small_to_measure_says_so(
        self, page: Page, ui: UiProcess, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["one", "two"], holdout="auto")
        page.goto(f"{ui.url}/rounds?project={project.id}")
        expect(page.get_by_text("too small to set items aside")).to_be_visible()

    def test_an_archived_project_says_so_and_can_be_restored(
        self, page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["one"])
        page.goto(f"{ui.url}/settings?project={project.id}")
        page.get_by_label("Type the project's name to confirm").fill(project.name)
        page.get_by_role("button", name="Archive this project").click()
        expect(page.get_by_text("This project is archived")).to_be_visible()
        assert owner.project(project.id).archived_at is not None
        page.goto(f"{ui.url}/label?project={project.id}")
        page.get_by_role("button", name="Restore it").click()
        expect(page.locator(".annotator .text")).to_have_text("one")
        assert owner.project(project.id).archived_at is None

    def test_whoever_was_just_added_is_in_the_list(
        self, page: Page, ui: UiProcess, owner: Client, make_project: Callable[..., Project]
    ) -> None:
        project = make_project(["one"])
        page.goto(f"{ui.url}/members?project={project.id}")
        page.get_by_label("E-mail").fill("ann@example.org")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("This address is nobody's here yet")).to_be_visible()
        page.get_by_text("Make an account for this address").click()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("can sign in with this password")).to_be_visible()
        expect(page.get_by_role("button", name="Remove")).to_have_count(2)
        assert "ann@example.org" in {member["email"] for member in owner.members(project.id)}

    def test_a_project_that_is_not_ones_own_is_not_known(self, page: Page, ui: UiProcess) -> None:
        page.goto(f"{ui.url}/label?project=987654")
        expect(page.get_by_text("There is no such project")).to_be_visible()


def test_curve_points_leave_out_what_was_not_measured() -> None:
    rows = [
        {"labels": 40, "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9, "labels": 50}},
        {"labels": 10, "accuracy": None},
        {"labels": 20, "accuracy": {"value": 0.5, "low": None, "high": None, "labels": 50}},
    ]
    assert curve_points(rows) == [CurvePoint(20, 0.5), CurvePoint(40, 0.8, 0.7, 0.9)]


@pytest.mark.parametrize(
    ("freshness", "line"),
    [
        ({"round": 0, "next_round_in": 10}, "No round yet, the first in about 10 labels"),
        (
            {"round": 12, "labels_behind": 14, "next_round_in": 6},
            "Ranked by round 12, 14 labels behind, next round in about 6 labels",
        ),
        ({"round": 3, "labels_behind": 1, "training": True}, "Ranked by round 3, 1 label behind, a round is running"),
    ],
)
def test_freshness_is_said_in_words(freshness: dict[str, object], line: str) -> None:
    assert freshness_line(freshness) == line


def test_a_round_of_before_says_nothing_of_its_choices() -> None:
    assert explanation({"n": 1, "metrics": {"accuracy": None}}) is None
    assert explanation({"n": 2, "metrics": {"explanation": "Next come items."}}) == "Round 2: next come items."


def test_labels_are_read_one_a_line() -> None:
    assert label_lines(" spam \n\nham\nspam\n") == ["spam", "ham"]


def test_names_are_shown_as_they_stand() -> None:
    assert escape("a *b* [c](d) $x$") == r"a \*b\* \[c\]\(d\) \$x\$"
