"""Points of a scorecard and the grade of the master scale, logged with each prediction.

Predictions made before have neither: the log does not say which portfolio's scale they were graded on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("predictions", sa.Column("grade", sa.Text()))
    op.add_column("predictions", sa.Column("points", sa.Integer()))


def downgrade() -> None:
    op.drop_column("predictions", "points")
    op.drop_column("predictions", "grade")
