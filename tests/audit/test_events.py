import re
from typing import Any, cast

import pytest

from audit.events import ACTIONS, PROFILE, ActionSpec, Cause, Target

WORD = re.compile(r"\{([^}]*)\}")


def test_the_registry_is_closed() -> None:
    with pytest.raises(TypeError):
        cast("Any", ACTIONS)["user.invented"] = ACTIONS["user.created"]


def test_every_action_is_registered_once_under_its_own_name() -> None:
    assert all(spec.name == name for name, spec in ACTIONS.items())
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", name) for name in ACTIONS)


def test_every_action_of_the_core_is_there() -> None:
    verbs = {
        "user": "created updated deactivated reactivated deleted",
        "member": "created updated deactivated reactivated deleted linked change_held change_released "
        "change_staged staged_allowed staged_rejected staged_ended",
        "block": "set lifted",
        "role": "granted revoked",
        "override": "set ended",
        "seat": "assigned released denied waiting limit_changed threshold_reached",
        "group": "created updated deleted renamed member_added member_removed subgroup_added subgroup_removed",
        "mapping": "created updated deleted previewed applied dangling",
        "scope": "created updated deleted",
        "role_definition": "created updated deleted",
        "invitation": "created accepted ended",
        "owner": "transferred",
        "organisation": "created",
        "settings": "updated",
        "domain": "claimed verified missing suspended released",
        "connection": "created updated deleted tested enforced enforcement_lifted enforcement_suspended "
        "enforcement_resumed",
        "metadata": "taken failed",
        "certificate": "added updated retired expiring",
        "sso": "login login_denied logout identity_moved",
        "breakglass": "armed used",
        "client": "created deleted",
        "signing_key": "rotated",
        "stream": "created updated tested paused resumed removed replayed dead_lettered failed stuck "
        "recovered",
        "directory": "created updated secret_changed",
        "token": "created revoked expiring",
        "key": "added rotated dropped",
        "scim_log": "read replayed",
        "environment": "loaded",
        "review": "started decided finished",
        "sync": "started completed failed blocked",
        "guard": "released refused threshold_crossed",
        "command": "refused",
        "log": "read key_rotated restore_declared retention_set retention_applied hold_set hold_lifted pii_erased",
        "export": "created downloaded",
    }
    assert {f"{noun}.{verb}" for noun, line in verbs.items() for verb in line.split()} == set(ACTIONS)


@pytest.mark.parametrize("spec", ACTIONS.values(), ids=list(ACTIONS))
def test_a_label_uses_only_words_that_its_action_may_say(spec: ActionSpec) -> None:
    words = {word.removesuffix(".before").removesuffix(".after") for word in WORD.findall(spec.label)}

    assert words <= spec.paths | {"actor", "subject", "object"}
    assert "actor" in words


@pytest.mark.parametrize("spec", ACTIONS.values(), ids=list(ACTIONS))
def test_what_an_action_must_say_it_may_say(spec: ActionSpec) -> None:
    assert spec.required <= spec.paths


@pytest.mark.parametrize("spec", ACTIONS.values(), ids=list(ACTIONS))
def test_no_path_holds_a_name_or_a_mail_of_a_person_in_clear(spec: ActionSpec) -> None:
    assert not spec.paths & {"user_name", "given_name", "family_name", "mail", "mails", "dn"}
    if spec.name.startswith(("user.", "member.")):
        assert PROFILE in spec.paths
        assert not spec.paths & {"display_name", "external_id"}


def test_the_parts_of_an_event_default_to_a_root_and_a_subject() -> None:
    assert (Cause("run").root, Cause("run").parent) == (None, None)
    assert Target("member", "mem_1").role == "subject"
