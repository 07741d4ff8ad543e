"""What names an artifact: of a derived model it is more than the digest of a file.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("identity", sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE models SET identity = digest")
