"""What is to be said of a project's encoder: what it could not read, and which languages it does not know."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.tables import Encoder, FeatureShard, Project
from winnow.languages import language_warning, languages_found


def cut_share(session: Session, project_id: int) -> float | None:
    """The share of encoded items that were longer than the encoder reads; None before any is encoded."""
    encoded, cut = session.execute(
        select(func.max(FeatureShard.stop), func.sum(FeatureShard.n_cut)).where(FeatureShard.project_id == project_id)
    ).one()
    return (cut or 0) / encoded if encoded else None


def encoder_facts(session: Session, project: Project) -> dict[str, Any] | None:
    """What is known of the encoder of ``project``; None before there is one.

    Returns:
        ``name``, ``cut_share``, ``languages`` (`languages_found`; None where nobody looked), ``choice`` (why ``auto``
        took it: ``models.encoder_choice.EncoderChoice``; None while nothing was compared, and where the settings name
        one) and ``words``: sentences on what people should know of it, none where all is well.
    """
    stored = session.get(Encoder, project.id)
    if stored is None:
        return None
    seen = stored.details.get("languages")
    warning = None if seen is None else language_warning(seen, stored.name)
    share = cut_share(session, project.id)
    return {
        "name": stored.name,
        "cut_share": share,
        "choice": stored.details.get("choice") if project.settings["encoder"] == "auto" else None,
        "languages": None if seen is None else languages_found(seen),
        "words": [*([] if warning is None else [warning]), *([_cut_in_words(share)] if share else [])],
    }


def _cut_in_words(share: float) -> str:
    much = f"{100 * share:.1f} %" if share >= 0.0005 else "Less than 0.1 %"
    return f"{much} of the texts are longer than the encoder reads: it does not see their ends."
