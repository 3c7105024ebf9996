"""user, token, worker, migrate, doctor: they work on the database itself, with or without a running server."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.options import Data, Json


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    users = typer.Typer(no_args_is_help=True, help="People who may sign in.")
    users.command("add", short_help="Make a user.")(add_user)
    app.add_typer(users, name="user")
    tokens = typer.Typer(no_args_is_help=True, help="API tokens.")
    tokens.command("create", short_help="Make an API token.")(create_token)
    app.add_typer(tokens, name="token")
    app.command("worker", short_help="Run a worker.")(worker)
    app.command("migrate", short_help="Bring the database to the newest schema.")(migrate)
    app.command("doctor", short_help="Say what is wrong on this machine.")(doctor)


def add_user(
    email: Annotated[str, typer.Argument(help="Who.")],
    role: Annotated[
        Literal["admin", "member"],
        typer.Option(help="admin: may manage every project; member: their own, and those they are put in."),
    ] = "member",
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a user and print the generated first password, this once."""
    from cli.console import emit, emit_json
    from cli.database import opened
    from cli.options import load_settings
    from winnow.audit import record
    from winnow.users import create_user

    with opened(load_settings(data=data)) as database, database.write() as session:
        user, password = create_user(session, email, None, role)
        session.flush()
        record(session, "user.create", user_id=None, created=user.id, role=role, by="command line")
        answer = {"id": str(user.id), "email": user.email, "role": role, "password": password}
    if json:
        emit_json(answer)
    else:
        emit(f"user: {answer['email']}\npassword: {answer['password']}")


def create_token(
    email: Annotated[str, typer.Argument(help="Whose.")],
    name: Annotated[str, typer.Argument(help="What it is for, to tell it from others.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Make an API token and print it, this once."""
    from cli.console import emit, emit_json
    from cli.database import opened
    from cli.options import load_settings
    from winnow.audit import record
    from winnow.users import find_user, issue_token

    with opened(load_settings(data=data)) as database, database.write() as session:
        user = find_user(session, email)
        token, secret = issue_token(session, user.id, name, "api")
        record(session, "token.create", user_id=user.id, token=token.id, by="command line")
        answer = {"id": str(token.id), "name": name, "token": secret}
    if json:
        emit_json(answer)
    else:
        emit(answer["token"])


def worker(
    concurrency: Annotated[int, typer.Option(min=1, help="How many jobs run at once.")] = 1,
    data: Data = None,
) -> None:
    """Run a worker, which trains, imports, encodes and exports, until SIGTERM or Ctrl-C.

    'winnow serve' runs one already; more may run beside it or on other machines.
    """
    from cli.options import load_settings
    from worker.main import run_worker

    raise typer.Exit(run_worker(load_settings(data=data), concurrency))


def migrate(data: Data = None, json: Json = False) -> None:
    """Bring the database to the newest schema, making it if there is none. Safe to run again."""
    from cli.console import emit_json, say
    from cli.database import migrate as bring_up
    from cli.options import load_settings

    before, after = bring_up(load_settings(data=data))
    if json:
        emit_json({"from": before, "to": after})
    else:
        say(f"the schema was at {before or 'nothing'} and is at {after}")


def doctor(data: Data = None, json: Json = False) -> None:
    """Look at everything that the service needs, and say what is wrong; exit code 1 if something is."""
    from cli.console import emit, emit_json, quiet_logs
    from cli.doctor import examine
    from cli.options import load_settings

    quiet_logs()
    findings = examine(load_settings(data=data))
    well = all(finding.ok for finding in findings)
    if json:
        emit_json({"ok": well, "checks": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            emit(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.detail}")
    if not well:
        bad = ", ".join(finding.name for finding in findings if not finding.ok)
        typer.echo(f"winnow: not well: {bad}", err=True)
        raise typer.Exit(1)
