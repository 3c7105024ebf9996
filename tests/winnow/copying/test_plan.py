"""Every table and every column is known to the copy: one that is added fails here until somebody decides about it."""

from __future__ import annotations

from typing import get_args

import pytest

from winnow import attempt_files
from winnow.copying import plan
from winnow.copying.carrier import Carrier, CopyRefused, IdMap
from winnow.db.base import Base, utcnow


def test_every_table_is_copied_or_left_out_for_a_reason():
    known = set(plan.PLAN) | set(plan.LEFT_OUT) | {"users"}
    assert known == set(Base.metadata.tables)
    assert set(plan.PLAN) & set(plan.LEFT_OUT) == set()
    assert all(len(reason) > 20 for reason in plan.LEFT_OUT.values())


@pytest.mark.parametrize("name", sorted(plan.PLAN))
def test_every_column_has_its_rule(name):
    assert set(plan.PLAN[name]) == set(plan.table(name).c.keys())


def test_every_column_of_an_account_comes():
    assert set(plan.PEOPLE) | {"id"} == set(plan.table("users").c.keys())


@pytest.mark.parametrize("name", sorted(plan.PLAN))
def test_whatever_points_to_another_row_is_never_copied_as_it_is(name):
    """Foreign keys say so themselves; of the others, names and types give away what may be an id or a path."""
    for column in plan.table(name).c:
        looks_so = column.name == "id" or column.name.endswith(("_id", "_by", "cutoff", "path"))
        if (looks_so and column.name != "request_id") or column.foreign_keys:  # a request_id is the person's own
            assert plan.PLAN[name][column.name] is not plan.as_is, f"{name}.{column.name}"


def test_tables_that_number_their_rows_are_numbered_anew():
    own = {name for name in plan.PLAN if [c.name for c in plan.table(name).primary_key.columns] == ["id"]}
    assert set(plan.NUMBERED) | {"projects"} == own


@pytest.fixture
def carrier():
    return Carrier(3, 11, {7: 70}, frozenset(), utcnow(), {"jobs": IdMap([5, 17], [1005, 1017])})


@pytest.mark.parametrize("purpose", get_args(attempt_files.Purpose))
def test_a_path_of_every_purpose_gets_the_new_ids_of_project_and_job(carrier, purpose):
    assert carrier.path(attempt_files.folder(3, purpose, 17, 2)) == attempt_files.folder(11, purpose, 1017, 2)
    assert carrier.path(f"{attempt_files.folder(3, purpose, 5, 1)}/a/b.npy") == f"projects/11/{purpose}/1005-1/a/b.npy"


def test_a_path_without_a_job_gets_the_new_id_of_the_project(carrier):
    assert carrier.path("projects/3/imports/0f0f") == "projects/11/imports/0f0f"


def test_an_upload_gets_the_new_id_of_the_project_and_is_as_young_as_the_copy(carrier):
    assert carrier.path("incoming/3/1-0f0f") == f"incoming/11/{int(carrier.moment.timestamp())}-0f0f"


@pytest.mark.parametrize("path", ["projects/33/students/5-1", "elsewhere/x", "projects/3/students/6-1"])
def test_a_path_that_belongs_to_something_else_is_refused(carrier, path):
    with pytest.raises(CopyRefused):
        carrier.path(path)


def test_an_audit_entry_names_people_and_jobs_by_their_new_ids_in_the_same_form(carrier):
    assert carrier.audit_detail({"job": "17", "user": "7", "role": "5"}) == {"job": "1017", "user": "70", "role": "5"}
    assert carrier.audit_detail({"job": 5}) == {"job": 1005}
    assert carrier.audit_detail({"job": 6, "user": "8"}) == {"job": None, "user": None}


def test_a_run_that_labelled_the_rest_points_to_its_labels_by_their_new_ids(carrier):
    carrier.ids["labels"] = IdMap([3, 5, 9], [101, 102, 103])
    written = {"first": 3, "last": 9, "at": 9, "written": 3}
    assert plan.PLAN["jobs"]["checkpoint"](carrier, written) == {**written, "first": 101, "last": 103}
    assert plan.PLAN["jobs"]["payload"](carrier, {"run": 17, "first": 5, "last": 5}) == {
        "run": 1017, "first": 102, "last": 102,
    }  # fmt: skip
    assert plan.PLAN["jobs"]["result"](carrier, {"run": "17", "removed": 3}) == {"run": "1017", "removed": 3}
    assert plan.PLAN["jobs"]["checkpoint"](carrier, {"first": None, "last": None}) == {"first": None, "last": None}
