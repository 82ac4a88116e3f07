"""First layout: users, logins, assignments, readings."""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None

DIGEST = sa.String(64)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("made", MOMENT, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locked_until", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "logins",
        sa.Column("token", DIGEST, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("made", MOMENT, nullable=False),
        sa.Column("seen", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_logins"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_logins_user_id"),
    )
    op.create_index("ix_logins_user_id", "logins", ["user_id"])
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("dossier", DIGEST, nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("opened", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_assignments"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_assignments_user_id"
        ),
        sa.UniqueConstraint(
            "dossier", "item", "user_id", name="uq_assignments_dossier"
        ),
    )
    op.create_index("ix_assignments_dossier", "assignments", ["dossier"])
    op.create_index("ix_assignments_user_id", "assignments", ["user_id"])
    op.create_table(
        "readings",
        sa.Column("assignment_id", sa.Integer, nullable=False),
        sa.Column("ratings", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("made", MOMENT, nullable=False),
        sa.Column("signed", MOMENT),
        sa.Column("record", sa.Integer),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_readings"),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name="fk_readings_assignment_id"
        ),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("readings", "assignments", "logins", "users"):
        op.drop_table(table)
