"""${message}.

Why: ...
A running worker of the previous release sees: ...  (it must go on working; drop nothing it uses in the same release)
Downgrade loses: ...

Revision: ${up_revision}, after ${down_revision}
"""

from alembic import op

from db_functions.ddl import run

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

STEPS = (("ml_owner", ("ROOM/NAME.v2",)),)


def upgrade() -> None:
    ${upgrades if upgrades else "run(op, STEPS)"}


def downgrade() -> None:
    ${downgrades if downgrades else 'run(op, (("ml_owner", ("ROOM/NAME",)),))'}
