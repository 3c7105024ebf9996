"""The table of who may do what."""

from __future__ import annotations

import pytest

from winnow.permissions import Permission, global_role_allows, project_role, role_allows

P = Permission
EVERYWHERE = {P.PROJECT_READ, P.ITEMS_READ, P.ROUNDS_READ, P.STUDENTS_READ, P.STATS_READ, P.JOBS_READ, P.PREDICT}
OF_ROLE = {
    "manager": set(P) - {P.PROJECT_CREATE, P.USERS_MANAGE},
    "annotator": EVERYWHERE | {P.LABEL},
    "viewer": EVERYWHERE | {P.LABELS_READ, P.EXPORT},
    "stranger": set(),
}


@pytest.mark.parametrize("role", OF_ROLE)
def test_a_role_in_a_project_holds_exactly_these(role: str) -> None:
    assert {permission for permission in P if role_allows(role, permission)} == OF_ROLE[role]


@pytest.mark.parametrize(
    ("role", "held"),
    [
        ("owner", {P.PROJECT_CREATE, P.USERS_MANAGE}),
        ("admin", {P.PROJECT_CREATE}),
        ("member", {P.PROJECT_CREATE}),
        ("other", set()),
    ],
)
def test_a_role_in_the_service_holds_exactly_these(role: str, held: set[Permission]) -> None:
    assert {permission for permission in P if global_role_allows(role, permission)} == held


@pytest.mark.parametrize(
    ("service", "member", "role"),
    [
        ("owner", None, "manager"),
        ("admin", "viewer", "manager"),
        ("member", "annotator", "annotator"),
        ("member", None, None),
    ],
)
def test_owners_and_admins_manage_every_project(service: str, member: str | None, role: str | None) -> None:
    assert project_role(service, member) == role
