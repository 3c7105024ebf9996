"""What ``winnow label`` does once the service runs: project, import, and the way into the browser."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
import webbrowser
from pathlib import Path

import typer

from cli.console import say
from cli.errors import CommandError
from cli.inspection import FilePlan, inspect_file
from cli.supervisor import Endpoints, entry_folder
from cli.transfer import wait
from client import Client, Job, Project
from winnow.settings import Settings

TOKEN_HOURS = 12.0
_POLL_SECONDS = 0.05


def describe(file: Path, labels: str | None, name: str | None) -> FilePlan:
    """What project the file makes: its task, its columns and its classes.

    Raises:
        CommandError: nothing that can be labelled is in the file.
        BadParameter: the file names no classes and none were given, or one was given twice.
    """
    plan = inspect_file(file)
    given = [part.strip() for part in labels.split(",") if part.strip()] if labels is not None else plan.labels
    if len(set(given)) != len(given):
        raise typer.BadParameter("a class is named twice", param_hint="--labels")
    if len(given) < 2:
        raise typer.BadParameter(f"{file.name} names no two classes: give --labels a,b,c", param_hint="--labels")
    return FilePlan(plan.file, name or file.stem, plan.task, plan.format, plan.mapping, given)


def begin(settings: Settings, plan: FilePlan, browser: bool, where: Endpoints) -> None:
    """Make the project (or find the one that the same file made), import the file, and show the first item."""
    token = _owner_token(settings)
    with Client(where.api, token) as client:
        project = _find_or_make(client, plan)
        job = client.import_file(project.id, plan.file, format=plan.format, mapping=plan.mapping)
        _wait_for_first_item(client, project, job)
        address = f"{where.ui}/enter?code={_leave_entry(settings, token, project)}"
        say(f"winnow: label at {address}")
        if browser and not webbrowser.open(address):
            say("winnow: no browser here: open that address in one (it works once, for ten minutes)")
        result = wait(client, job, f"importing {plan.file.name}")
    say(
        f"winnow: {plan.file.name}: {result['created']} items, {result['duplicates']} were there already, "
        f"{result['rejected']} could not be used"
    )
    for error in result["errors"][:5]:
        say(f"  line {error['line']}: {error['reason']}")


def _wait_for_first_item(client: Client, project: Project, job: Job) -> None:
    """Wait until there is something to show: a page that opens empty looks broken."""
    while not client.job(job.id).done and not client.stats(project.id)["remaining"]:
        time.sleep(_POLL_SECONDS)


def _find_or_make(client: Client, plan: FilePlan) -> Project:
    for project in client.iter_projects():
        if project.name == plan.name and project.task == plan.task and set(plan.labels) <= set(project.class_names):
            return project
    return client.create_project(plan.name, plan.task, plan.labels)


def _owner_token(settings: Settings) -> str:
    from cli.database import existing
    from winnow.users import issue_token, list_users

    with existing(settings) as database, database.write() as session:
        owner = next((user for user in list_users(session) if user.role == "owner"), None)
        if owner is None:
            raise CommandError("there is no owner: sign in at the page instead")
        return issue_token(session, owner.id, "winnow label", "session", TOKEN_HOURS)[1]


def _leave_entry(settings: Settings, token: str, project: Project) -> str:
    """Leave a one-time entry for the pages; the code goes into the address, the token does not."""
    code = secrets.token_urlsafe(32)
    folder = entry_folder(settings.data.absolute())
    handle = os.open(folder / hashlib.sha256(code.encode()).hexdigest(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(
            {"token": token, "target": f"/label?project={project.id}", "expires_in": int(TOKEN_HOURS * 3600)}, file
        )
    return code
