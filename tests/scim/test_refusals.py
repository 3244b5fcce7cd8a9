"""What the write path may refuse, as SCIM errors."""

import pytest

from directory.ids import EventId
from provisioning.commands import Refused
from provisioning.errors import RefusalCode
from scim.refusals import ANSWERS, explain_refusal


def test_table_of_refusals_is_total() -> None:
    assert set(ANSWERS) == set(RefusalCode)


@pytest.mark.parametrize("code", RefusalCode)
def test_every_refusal_is_told_in_the_words_of_the_write_path(code: RefusalCode) -> None:
    error = explain_refusal(Refused(code, "what happened and what to do", EventId("e")))

    assert error.detail == "what happened and what to do"
    assert 400 <= error.status < 500


def test_full_organisation_is_no_conflict_and_has_no_scim_type() -> None:
    error = explain_refusal(Refused(RefusalCode.SEAT_LIMIT_REACHED, "full", EventId("e")))

    assert (error.status, error.scim_type) == (403, "")
    assert "scimType" not in error.to_body()
