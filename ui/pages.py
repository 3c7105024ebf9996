"""The map of the site: each page's address, name and view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ui.session import Visitor
from ui.views.account import account
from ui.views.bring_in import bring_in
from ui.views.labeling import labeling
from ui.views.members import members
from ui.views.new_project import new_project
from ui.views.project_settings import project_settings
from ui.views.projects import projects
from ui.views.rounds import rounds
from ui.views.students import students


@dataclass(frozen=True)
class PageOf:
    """One page. ``within`` says that it belongs to a project, ``managing`` that only its managers see the link."""

    path: str
    title: str
    icon: str
    view: Callable[[Visitor], None]
    within: bool = True
    managing: bool = False


PAGES = (
    PageOf("projects", "Projects", ":material/folder_open:", projects, within=False),
    PageOf("new", "New project", ":material/add_circle:", new_project, within=False),
    PageOf("label", "Label", ":material/sell:", labeling),
    PageOf("rounds", "Rounds", ":material/show_chart:", rounds),
    PageOf("students", "Students & export", ":material/package_2:", students),
    PageOf("import", "Add data", ":material/upload_file:", bring_in, managing=True),
    PageOf("members", "Members", ":material/group:", members, managing=True),
    PageOf("settings", "Settings", ":material/tune:", project_settings, managing=True),
    PageOf("account", "Account", ":material/account_circle:", account, within=False),
)
