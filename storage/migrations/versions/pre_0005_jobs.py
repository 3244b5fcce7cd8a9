"""The tables of the job library, which hands runs to workers; on PostgreSQL only.

`pre_0005_jobs.sql` is the library's schema as it was in 3.10.0. A later release of it brings numbered files
(`sql/migrations/`, `pre` and `post` in their names): copy those behind `03.04.00_50` unchanged beside a revision of
their own, `pre_` or `post_` as they are. A test compares what our revisions make with what the library would.
"""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    # The driver itself: past SQLAlchemy's parameters, with which a text may hold one statement only.
    connection: Any = bind.connection.driver_connection
    connection.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
