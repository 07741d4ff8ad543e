"""The adapter that is laid over a derived model's file.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("adapter", sa.Text))
    op.create_index("ix_models_adapter", "models", ["adapter"])
