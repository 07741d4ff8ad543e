"""Roles, scopes and rotation of keys; tenants that were removed.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.

SQLite cannot change a CHECK constraint, so `keys` is made anew; its ids are never given twice, and
so the counter of the old table is kept.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ROLES = {"tenant": "user", "admin": "operator"}
_WATCHED = {
    "tenants": "name, frozen_at, removed_at",
    "keys": "prefix, hash, tenant, role, expires_at, revoked_at, scopes, models, old_hash,"
    " old_until",
}


def upgrade() -> None:
    op.execute("ALTER TABLE tenants ADD COLUMN removed_at INTEGER")
    op.create_table(
        "new_keys",
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
        sa.Column("scopes", sa.Text),
        sa.Column("models", sa.Text),
        sa.Column("old_hash", sa.LargeBinary),
        sa.Column("old_until", sa.Integer),
        sa.UniqueConstraint("prefix", name="uq_keys_prefix"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_keys_tenant"),
        sa.CheckConstraint("length(hash) = 32", name=op.f("ck_keys_hash_length")),
        sa.CheckConstraint("length(old_hash) = 32", name=op.f("ck_keys_old_hash_length")),
        sa.CheckConstraint(
            "(old_hash IS NULL) = (old_until IS NULL)", name=op.f("ck_keys_old_pair")
        ),
        sa.CheckConstraint(
            "role IN ('operator', 'tenant-admin', 'user', 'auditor')", name=op.f("ck_keys_role")
        ),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    kept = "id, prefix, hash, tenant, name"
    dates = "created_at, expires_at, revoked_at, last_used_at"
    roles = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in _ROLES.items())
    op.execute(
        f"INSERT INTO new_keys ({kept}, role, {dates}) "  # noqa: S608 - constants of this file
        f"SELECT {kept}, CASE role {roles} END, {dates} FROM keys"
    )
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'new_keys'")
    op.execute(
        "INSERT INTO sqlite_sequence (name, seq)"
        " SELECT 'new_keys', seq FROM sqlite_sequence WHERE name = 'keys'"
    )
    op.execute("DROP TABLE keys")  # its triggers and its index go with it
    op.execute("ALTER TABLE new_keys RENAME TO keys")
    op.create_index("ix_keys_tenant", "keys", ["tenant"])
    op.execute("DROP TRIGGER tenants_update")
    for table, columns in _WATCHED.items():
        for event, of in (("INSERT", ""), ("DELETE", ""), ("UPDATE", f" OF {columns}")):
            if table == "keys" or event == "UPDATE":
                op.execute(
                    f"CREATE TRIGGER {table}_{event.lower()} AFTER {event}{of} ON {table} "  # noqa: S608 - constants of this file
                    "BEGIN UPDATE revision SET value = value + 1; END"
                )
    op.execute("UPDATE revision SET value = value + 1")
