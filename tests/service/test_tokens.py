"""What is said of a token as time goes by."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from directory.ids import DirectoryId, OrganisationId
from provisioning.resources import StoredToken
from service.cli.token import token_text
from service.tokens import IssuedToken, days_left, token_state

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
TOKEN = StoredToken(
    token_id="01990000-0000-7000-8000-000000000001",
    organisation_id=OrganisationId("01990000-0000-7000-8000-000000000002"),
    directory_id=DirectoryId("01990000-0000-7000-8000-000000000003"),
    name="entra",
    prefix="usher_scim_abcdefgh",
    sha256=bytes(32),
    created_at=NOW,
    created_by="operator",
    expires_at=NOW + 40 * DAY,
    revoked_at=None,
    last_used_at=None,
    last_used_from="",
    noticed_days=None,
)


def test_days_that_have_begun_are_counted() -> None:
    moments = (timedelta(), timedelta(seconds=1), DAY, 39 * DAY, 40 * DAY - timedelta(seconds=1), 40 * DAY)

    assert [days_left(TOKEN, NOW + passed) for passed in moments] == [40, 40, 39, 1, 1, None]


def test_the_state_of_a_token_is_told() -> None:
    revoked, endless = replace(TOKEN, revoked_at=NOW), replace(TOKEN, expires_at=None)

    assert [token_state(one, NOW) for one in (TOKEN, revoked, endless)] == ["live", "revoked", "live"]
    assert token_state(TOKEN, NOW + 40 * DAY) == "expired"
    assert token_text(TOKEN, NOW) == "ends in 40 days, at 2026-04-11 09:00:00 UTC"
    assert token_text(TOKEN, NOW + 10 * DAY) == "ends in 30 days, at 2026-04-11 09:00:00 UTC, soon"
    assert token_text(TOKEN, NOW + 40 * DAY) == "expired"
    assert token_text(endless, NOW) == "is good until it is revoked"


def test_an_issued_token_does_not_show_its_text() -> None:
    assert "secret" not in repr(IssuedToken(TOKEN, "secret"))
