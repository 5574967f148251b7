"""voters

Revision ID: 1111aaaa
Revises:
"""

from alembic import op

revision: str = "1111aaaa"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL)")


def downgrade() -> None:
    op.execute("DROP TABLE voters")
