"""A role of the database that alone may remove events, granted as the guide says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from service.administration import Administration
from service.log_retention import apply_retention, apply_retention_everywhere, lift_hold, set_hold
from service.opening import open_database_as_is
from service.settings import load_settings
from storage.errors import StorageError
from tests.service.keeping import bodies, differences, old_world, replay
from tests.service.worlds import OPERATOR, HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


OWNED = (
    'CREATE ROLE "{app}" LOGIN',
    'CREATE ROLE "{keeper}" LOGIN',
    'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{app}"',
    'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{app}"',
)


def granted() -> list[str]:
    """What the guide says that the owner of the tables says."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "privacy.md").read_text(encoding="utf-8")
    said = [line.strip() for line in guide.splitlines() if line.startswith(("    REVOKE", "    GRANT"))]
    assert len(said) == 5
    return [
        re.sub(r"\busher\b", '"{app}"', re.sub(r"\busher_retention\b", '"{keeper}"', line)) for line in said
    ]


@pytest.mark.pg
def test_with_a_role_of_its_own_nobody_else_can_remove(
    postgresql_database: Callable[[], str], tmp_path: Path, clock: HandClock
) -> None:
    url = postgresql_database()
    with old_world(tmp_path, clock, USHER_DATABASE_URL=url) as owner:
        names = {name: f"{name}_{owner.wiring.mint.id()[-12:]}" for name in ("app", "keeper")}
        with owner.wiring.database.write() as connection:
            for statement in (*OWNED, *granted()):
                connection.exec_driver_sql(statement.format(**names))
        as_role = {name: make_url(url).set(username=role) for name, role in names.items()}
        addresses = {name: one.render_as_string(hide_password=False) for name, one in as_role.items()}
        environ = {"USHER_DATA": str(tmp_path / "var"), "USHER_DATABASE_URL": addresses["app"]}
        number = len(bodies(owner))

        with open_database_as_is(load_settings(environ), clock=clock) as wiring:
            app = Administration(wiring, owner.organisation_id, OPERATOR)
            with pytest.raises(StorageError, match="permission denied"):
                apply_retention(app)
            with capture_logs() as logs:
                assert apply_retention_everywhere(wiring) == 0
            assert [line["event"] for line in logs] == ["the retention could not be applied"]
            assert len(bodies(app)) == number
            set_hold(app, "case 7")
            lift_hold(app)

        environ["USHER_RETENTION_DATABASE_URL"] = addresses["keeper"]
        with open_database_as_is(load_settings(environ), clock=clock) as wiring:
            assert apply_retention(Administration(wiring, owner.organisation_id, OPERATOR)).leaves == number
        assert differences(owner) == []
        assert replay(owner).misfits == ()
