"""Projects and their members."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from winnow.db.tables import Member, Project, User


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LabelClassIn(_Body):
    """A class. Without a hotkey it gets the next free one of 1 to 9."""

    name: str
    description: str | None = None
    hotkey: str | None = None
    color: str | None = Field(None, description="Like `#1f77b4`.")


class ProjectCreate(_Body):
    """A pool to be: what its items are, and what they may be called."""

    name: str
    task: Literal["text", "image", "features"]
    labels: list[str | LabelClassIn]
    guidelines: str | None = None
    settings: dict[str, Any] | None = None


class ProjectUpdate(_Body):
    """What to change. ``settings`` are laid over the present ones; ``archived`` puts away or brings back."""

    name: str | None = None
    labels: list[str | LabelClassIn] | None = None
    guidelines: str | None = None
    settings: dict[str, Any] | None = None
    archived: bool | None = None


class LabelClassOut(BaseModel):
    """A class, complete."""

    name: str
    description: str
    hotkey: str | None
    color: str | None


class Counts(BaseModel):
    """How far the work is; ``remaining`` still need labels."""

    items: int
    labeled: int
    remaining: int


class ProjectOut(BaseModel):
    """A project as one of its members sees it; ``role`` is theirs."""

    id: str
    name: str
    task: str
    labels: list[LabelClassOut]
    guidelines: str
    settings: dict[str, Any]
    role: str
    created_at: datetime
    archived_at: datetime | None
    counts: Counts

    @classmethod
    def of(cls, project: Project, role: str) -> ProjectOut:
        """From its row."""
        return cls(
            id=str(project.id),
            name=project.name,
            task=project.task,
            labels=[LabelClassOut(**entry) for entry in project.labels],
            guidelines=project.guidelines,
            settings=project.settings,
            role=role,
            created_at=project.created_at,
            archived_at=project.archived_at,
            counts=Counts(items=project.n_items, labeled=project.n_labeled, remaining=project.n_open),
        )


class ProjectList(BaseModel):
    """Projects, newest first."""

    data: list[ProjectOut]
    next: str | None


class MemberAdd(_Body):
    """Somebody with an account, and their role here."""

    email: str = Field(max_length=320)
    role: Literal["manager", "annotator", "viewer"]


class MemberOut(BaseModel):
    """A member; ``id`` is the user's."""

    id: str
    email: str
    role: str
    created_at: datetime

    @classmethod
    def of(cls, member: Member, user: User) -> MemberOut:
        """From their rows."""
        return cls(id=str(user.id), email=user.email, role=member.role, created_at=member.created_at)


class MemberList(BaseModel):
    """Members in the order of their ids."""

    data: list[MemberOut]
    next: str | None
