"""Tenants, keys, grants, models, usage and the revision counter with its triggers.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WATCHED = {
    "tenants": "name, frozen_at",
    "keys": "prefix, hash, tenant, role, expires_at, revoked_at",
    "grants": "tenant, model",
    "models": "name, digest, size_bytes, trust, source, receipt, signature",
}


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("frozen_at", sa.Integer),
        sa.PrimaryKeyConstraint("name", name="pk_tenants"),
        sqlite_strict=True,
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.Integer),
        sa.Column("revoked_at", sa.Integer),
        sa.Column("last_used_at", sa.Integer),
        sa.UniqueConstraint("prefix", name="uq_keys_prefix"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_keys_tenant"),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_keys_hash_length")),
        sa.CheckConstraint("role IN ('tenant', 'admin')", name=op.f("ck_keys_role")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_keys_tenant", "keys", ["tenant"])
    op.create_table(
        "grants",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", name="pk_grants"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_grants_tenant"),
        sqlite_strict=True,
    )
    op.create_table(
        "models",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("trust", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("admitted_at", sa.Integer, nullable=False),
        sa.Column("receipt", sa.Text, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_models_digest_length")),
        sa.CheckConstraint(
            "trust IN ('untrusted', 'verified', 'trusted')", name=op.f("ck_models_trust")
        ),
        sqlite_strict=True,
    )
    op.create_index("ix_models_digest", "models", ["digest"])
    op.create_table(
        "usage",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ts_ms", sa.Integer, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_usage_tenant_ts_ms", "usage", ["tenant", "ts_ms"])
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_revision_single_row")),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO revision (id, value) VALUES (1, 1)")
    for table, columns in _WATCHED.items():
        for event, of in (("INSERT", ""), ("DELETE", ""), ("UPDATE", f" OF {columns}")):
            op.execute(
                f"CREATE TRIGGER {table}_{event.lower()} AFTER {event}{of} ON {table} "  # noqa: S608 - constants of this file
                "BEGIN UPDATE revision SET value = value + 1; END"
            )
