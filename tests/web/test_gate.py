"""A token opens its own directory while it lives, and a refusal looks the same whatever is wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from directory.ids import DirectoryId, OrganisationId
from provisioning.resources import StoredToken
from web import gate
from web.gate import Verdict, judge
from web.tokens import is_same, make_token

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SOON = NOW + timedelta(seconds=1)
HERE, THERE = DirectoryId("01990000-0000-7000-8000-00000000000a"), "01990000-0000-7000-8000-00000000000b"
FRESH, OTHER = make_token(bytes(range(48))), make_token(bytes(48))
ROW = StoredToken(
    token_id="01990000-0000-7000-8000-000000000001",
    organisation_id=OrganisationId("01990000-0000-7000-8000-000000000002"),
    directory_id=HERE,
    name="entra",
    prefix=FRESH.prefix,
    sha256=FRESH.sha256,
    created_at=NOW,
    created_by="operator",
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
    last_used_from="",
    noticed_days=None,
)


@pytest.mark.parametrize(
    ("text", "directory_id", "row", "verdict"),
    [
        (FRESH.text, HERE, ROW, Verdict.OPEN),
        (FRESH.text, HERE.upper(), ROW, Verdict.OPEN),
        (FRESH.text, HERE, replace(ROW, expires_at=SOON), Verdict.OPEN),
        (FRESH.text, HERE, replace(ROW, settings={"paused": False}), Verdict.OPEN),
        (FRESH.text, HERE, replace(ROW, settings={"paused": True}), Verdict.PAUSED),
        ("", HERE, None, Verdict.MISSING),
        (FRESH.text, HERE, None, Verdict.UNKNOWN),
        ("no token at all", HERE, None, Verdict.UNKNOWN),
        (OTHER.text, HERE, ROW, Verdict.WRONG),
        (FRESH.text[:-1] + "x", HERE, ROW, Verdict.WRONG),
        (OTHER.text, HERE, replace(ROW, revoked_at=NOW), Verdict.WRONG),
        (FRESH.text, THERE, ROW, Verdict.OTHER_DIRECTORY),
        (FRESH.text, "", ROW, Verdict.OTHER_DIRECTORY),
        (FRESH.text, THERE, replace(ROW, settings={"paused": True}), Verdict.OTHER_DIRECTORY),
        (FRESH.text, HERE, replace(ROW, revoked_at=NOW), Verdict.REVOKED),
        (FRESH.text, HERE, replace(ROW, revoked_at=NOW, settings={"paused": True}), Verdict.REVOKED),
        (FRESH.text, HERE, replace(ROW, expires_at=NOW), Verdict.EXPIRED),
    ],
)
def test_a_token_is_judged(text: str, directory_id: str, row: StoredToken | None, verdict: Verdict) -> None:
    assert judge(text, directory_id, row, NOW) is verdict


def test_only_a_live_token_of_the_directory_is_a_known_client() -> None:
    assert {verdict for verdict in Verdict if verdict.is_known_client} == {Verdict.OPEN, Verdict.PAUSED}


@pytest.mark.parametrize("row", [None, ROW])
def test_the_digest_is_compared_whether_there_is_a_row_or_not(
    row: StoredToken | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare(text: str, sha256: bytes) -> bool:
        compared.append(sha256)
        return is_same(text, sha256)

    monkeypatch.setattr(gate, "is_same", compare)
    judge(FRESH.text, HERE, row, NOW)

    assert [len(one) for one in compared] == [32]
