"""Labelling passes over patterns that an application has locked, and tries them again.

Why: one open or prepared transaction that had updated one pattern whose horizon was complete kept all others from being
labelled; and an application that updated several patterns at once could deadlock with the labelling, and be the one
that the server ended. It takes a weaker lock too: one that lets rows be written which refer to a pattern.
A running worker of the previous release sees: fewer rows labelled at a time; the rest is labelled when it is due again.
Downgrade loses: nothing; labelling waits again.

Revision: 0021, after 0020
"""

from alembic import op

from db_functions.ddl import sql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sql("functions/write_labels/v3"))
    op.execute(sql("functions/label_due/v2"))


def downgrade() -> None:
    op.execute(sql("functions/label_due/v1"))
    op.execute(sql("functions/write_labels/v2"))
