"""The first tables: users, projects, pools, labels, queues, jobs, rounds, students, the ledger and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_sign_in_failures()
    _create_users()
    _create_workers()
    _create_audit()
    _create_projects()
    _create_tokens()
    _create_encoders()
    _create_feature_shards()
    _create_items()
    _create_jobs()
    _create_label_requests()
    _create_members()
    _create_students()
    _create_contents()
    _create_labels()
    _create_leases()
    _create_ledger()
    _create_queue()
    _create_rounds()


def downgrade() -> None:
    for table in (
        "rounds",
        "queue",
        "ledger",
        "leases",
        "labels",
        "contents",
        "students",
        "members",
        "label_requests",
        "jobs",
        "items",
        "feature_shards",
        "encoders",
        "tokens",
        "projects",
        "audit",
        "workers",
        "users",
        "sign_in_failures",
    ):
        op.drop_table(table)


def _create_sign_in_failures() -> None:
    op.create_table(
        "sign_in_failures",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_failures"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sign_in_failures_email_at", "sign_in_failures", ["email", "at"])


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("disabled_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sqlite_autoincrement=True,
    )


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("detail", JSON, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_audit_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_project", "audit", ["project_id", "id"])


def _create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("guidelines", sa.Text(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("order_key", sa.String(length=64), nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("archived_at", TIME, nullable=True),
        sa.Column("feature_dim", sa.Integer(), nullable=True),
        sa.Column("next_number", ID, nullable=False),
        sa.Column("n_items", ID, nullable=False),
        sa.Column("n_open", ID, nullable=False),
        sa.Column("n_labeled", ID, nullable=False),
        sa.Column("n_skipped", ID, nullable=False),
        sa.Column("n_flagged", ID, nullable=False),
        sa.Column("n_labels", ID, nullable=False),
        sa.Column("n_test", ID, nullable=False),
        sa.Column("n_holdout_labels", ID, nullable=False),
        sa.Column("n_served", ID, nullable=False),
        sa.Column("round_labels", ID, nullable=False),
        sa.Column("ranked_round", sa.Integer(), nullable=False),
        sa.Column("ranked_cutoff", ID, nullable=False),
        sa.Column("n_pool", ID, nullable=False),
        sa.Column("n_open_holdout", ID, nullable=False),
        sa.Column("n_behind", ID, nullable=False),
        sa.Column("behind_cutoff", ID, nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_projects_created_by", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sqlite_autoincrement=True,
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("secret_hash", name="uq_tokens_secret_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])


def _create_encoders() -> None:
    op.create_table(
        "encoders",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("details", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_encoders_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", name="pk_encoders"),
    )


def _create_feature_shards() -> None:
    op.create_table(
        "feature_shards",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("start", ID, nullable=False),
        sa.Column("stop", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("n_cut", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_feature_shards_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "start", name="pk_feature_shards"),
    )


def _create_items() -> None:
    op.create_table(
        "items",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("number", ID, nullable=False),
        sa.Column("key", sa.String(length=512), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("group_digest", sa.String(length=64), nullable=False),
        sa.Column("shuffle", ID, nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("meta", JSON, nullable=True),
        sa.Column("standing", sa.Integer(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_items_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_items_open",
        "items",
        ["project_id", "split", "shuffle", "id"],
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_index("ix_items_project_digest", "items", ["project_id", "digest"])
    op.create_index("uq_items_project_key", "items", ["project_id", "key"], unique=True)
    op.create_index("uq_items_project_number", "items", ["project_id", "number"], unique=True)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("checkpoint", JSON, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("hinted_at", TIME, nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", JSON, nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("requested_by", ID, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_jobs_project_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["requested_by"], ["users.id"], name="fk_jobs_requested_by", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_jobs_active",
        "jobs",
        ["state", "id"],
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index("ix_jobs_project", "jobs", ["project_id", "id"])
    op.create_index(
        "uq_jobs_encode_queued",
        "jobs",
        ["project_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'encode' AND state = 'queued'"),
        postgresql_where=sa.text("kind = 'encode' AND state = 'queued'"),
    )
    op.create_index(
        "uq_jobs_round_queued",
        "jobs",
        ["project_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'round' AND state = 'queued'"),
        postgresql_where=sa.text("kind = 'round' AND state = 'queued'"),
    )
    op.create_index(
        "uq_jobs_round_running",
        "jobs",
        ["project_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'round' AND state = 'running'"),
        postgresql_where=sa.text("kind = 'round' AND state = 'running'"),
    )


def _create_label_requests() -> None:
    op.create_table(
        "label_requests",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("request_id", sa.String(length=200), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("label_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_label_requests_project_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_label_requests_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_label_requests"),
        sa.UniqueConstraint(
            "project_id", "user_id", "request_id", name="uq_label_requests_project_id_user_id_request_id"
        ),
        sqlite_autoincrement=True,
    )


def _create_members() -> None:
    op.create_table(
        "members",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_members_project_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_members_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "user_id", name="pk_members"),
    )


def _create_students() -> None:
    op.create_table(
        "students",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("family", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("recipe", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("promoted_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_students_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "version", name="pk_students"),
    )


def _create_contents() -> None:
    op.create_table(
        "contents",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_contents_item_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_id", name="pk_contents"),
    )


def _create_labels() -> None:
    op.create_table(
        "labels",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", JSON, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("student_version", sa.Integer(), nullable=True),
        sa.Column("mechanism", sa.String(length=16), nullable=True),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("superseded_at", TIME, nullable=True),
        sa.Column("superseded_by", ID, nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_labels_item_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_labels_project_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_labels_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_labels"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_labels_item", "labels", ["item_id"])
    op.create_index("ix_labels_project", "labels", ["project_id", "id"])
    op.create_index(
        "uq_labels_standing",
        "labels",
        ["item_id", "user_id"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("student_version", sa.Integer(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("mechanism", sa.String(length=16), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_leases_item_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_leases_project_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_leases_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
        sa.UniqueConstraint("item_id", "user_id", name="uq_leases_item_id_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_leases_project_expiry", "leases", ["project_id", "expires_at"])
    op.create_index("ix_leases_project_user", "leases", ["project_id", "user_id"])


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=True),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("cpu_seconds", sa.Double(), nullable=False),
        sa.Column("wall_seconds", sa.Double(), nullable=False),
        sa.Column("peak_memory_bytes", ID, nullable=False),
        sa.Column("flops", sa.Double(), nullable=True),
        sa.Column("watt_hours", sa.Double(), nullable=False),
        sa.Column("grams_co2e", sa.Double(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_ledger_job_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_ledger_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_project", "ledger", ["project_id", "id"])


def _create_queue() -> None:
    op.create_table(
        "queue",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("student_version", sa.Integer(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("mechanism", sa.String(length=16), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_queue_item_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_queue_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "rank", name="pk_queue"),
        sa.UniqueConstraint("item_id", name="uq_queue_item_id"),
    )


def _create_rounds() -> None:
    op.create_table(
        "rounds",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("cutoff", ID, nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=True),
        sa.Column("student_version", sa.Integer(), nullable=True),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("costs", JSON, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_rounds_job_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_rounds_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "n", name="pk_rounds"),
    )
