"""born

Revision ID: 2222bbbb
Revises: 1111aaaa
"""

from alembic import op

revision: str = "2222bbbb"
down_revision: str | None = "1111aaaa"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE voters ADD COLUMN born integer")


def downgrade() -> None:
    op.execute("ALTER TABLE voters DROP COLUMN born")
