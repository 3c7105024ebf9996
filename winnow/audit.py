"""The audit trail: who did what to what, from where."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from winnow.db.tables import AuditEntry


def record(
    session: Session,
    action: str,
    *,
    user_id: int | None,
    project_id: int | None = None,
    address: str | None = None,
    **detail: Any,
) -> None:
    """Write down ``action`` (``noun.verb``) in the transaction that does it. ``detail`` is JSON and holds no secret."""
    session.add(
        AuditEntry(
            action=action,
            user_id=user_id,
            project_id=project_id,
            address=address[:64] if address else None,
            detail=detail,
        )
    )
