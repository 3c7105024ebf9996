"""What language models were asked about a project's items, and what that cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "llm_answers",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("question", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=64), nullable=False),
        sa.Column("endpoint", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("number", ID, nullable=False),
        sa.Column("examples", JSON, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("votes", JSON, nullable=False),
        sa.Column("probabilities", JSON, nullable=True),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("tokens_in", ID, nullable=False),
        sa.Column("tokens_out", ID, nullable=False),
        sa.Column("cost", sa.Double(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("answered_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_llm_answers_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_llm_answers"),
        sa.UniqueConstraint("project_id", "question", name="uq_llm_answers_project_id_question"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("llm_answers")
