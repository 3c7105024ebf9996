from __future__ import annotations

import json

import pytest

from winnow.db.session import Database
from winnow.users import resolve_token


def test_a_user_is_made_once_with_a_password_shown_once(winnow):
    made = winnow("user", "add", "Ann@example.org", "--role", "admin", "--json")
    assert made.returncode == 0
    user = json.loads(made.stdout)
    assert (user["email"], user["role"]) == ("ann@example.org", "admin")
    assert len(user["password"]) >= 12
    again = winnow("user", "add", "ann@example.org")
    assert again.returncode == 1
    assert "ann@example.org" in again.stderr


def test_a_token_made_on_the_command_line_is_known_to_the_service(winnow, tmp_path):
    winnow("user", "add", "ann@example.org")
    made = winnow("token", "create", "ann@example.org", "laptop")
    assert made.returncode == 0
    database = Database(f"sqlite:///{tmp_path / 'data' / 'winnow.db'}")
    with database.read() as session:
        identity = resolve_token(session, made.stdout.strip())
    database.dispose()
    assert identity.email == "ann@example.org"


def test_doctor_is_content_with_a_fresh_machine(winnow):
    answer = winnow("doctor", "--json")
    findings = json.loads(answer.stdout)
    assert [check for check in findings["checks"] if not check["ok"]] == []
    assert answer.returncode == 0


@pytest.mark.parametrize("scheme", ["nonsense", "postgresql+psycopg"])
def test_doctor_says_that_the_database_is_not_there(winnow, scheme):
    answer = winnow("doctor", WINNOW_DATABASE_URL=f"{scheme}://127.0.0.1:9/winnow")
    assert answer.returncode == 1
    assert "FAIL  database" in answer.stdout
    assert answer.stderr == "winnow: not well: database\n"
