"""The seat story: five seated, the sixth waits, one leaves, the sixth is seated."""

from tests.journeys.exports import export, people
from tests.journeys.shell import Shell

MEMBERS = ("anna", "ben", "carla", "dan", "eve")


def begin(shell: Shell) -> None:
    """Plan Standard: the owner and four more have seats; the fifth of the group waits."""
    shell.set_up(plan="Standard")
    shell.write_export(export(people(*MEMBERS), {"staff": MEMBERS}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")


def test_sixth_waits_and_is_seated_when_one_leaves(either_shell: Shell) -> None:
    shell = either_shell
    begin(shell)
    assert shell.seats() == (5, 1)
    (waiting,) = shell.json("seats")["waiting"]
    waiting_name = waiting["mail"].partition("@")[0]
    leaver = next(uid for uid in MEMBERS if uid != waiting_name)
    shell.mark()

    stay = [uid for uid in MEMBERS if uid != leaver]
    shell.write_export(export(people(*stay), {"staff": stay}))
    answer = shell.answer("sync", "run")

    assert "1 users deactivated" in answer
    assert shell.seats() == (5, 0)
    events = shell.new_events()
    assert [body["action"] for body in events] == [
        "sync.started",
        "user.deactivated",
        "member.deactivated",
        "role.revoked",
        "seat.released",
        "role.granted",
        "seat.assigned",
        "sync.completed",
    ]
    # One transaction: what the leaver lost and what the sixth was given bear one moment and one cause.
    assert len({body["time"] for body in events[1:7]}) == 1
    assert {body["cause"]["root"] for body in events[1:7]} == {events[0]["id"]}


def test_second_reading_of_the_same_file_writes_three_rows_at_most(shell: Shell) -> None:
    begin(shell)
    with shell.wiring() as wiring:
        before = wiring.store.row_counts()

    answer = shell.answer("sync", "run")

    with shell.wiring() as wiring:
        after = dict(wiring.store.row_counts())
    # By what the log is searched is written later, for many events at a time.
    del after["audit_term"]
    assert "Nothing has changed" in answer
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
        "audit_event": 1,
        "run": 1,
    }


def test_plan_below_the_seats_in_use_evicts_nobody_and_freezes_additions(shell: Shell) -> None:
    begin(shell)

    answer = shell.answer("organisation", "set-plan", "Starter")

    assert "5 of 1 seats used, 4 too many" in answer
    assert shell.seats() == (5, 1)
    assert "4 too many" in shell.answer("seats")
    refused = shell.fail(1, "member", "invite", "new@acme.example", "--grant", "Member@organisation")
    assert refused == "Seat limit reached: 5 of 1 used (plan Starter). The person was not invited."
    assert "1 too many" not in shell.answer("organisation", "set-plan", "Pro")
    assert shell.seats() == (6, 0)


def test_set_plan_can_be_previewed_and_applied_under_its_hash(shell: Shell) -> None:
    begin(shell)
    shell.mark()

    foreseen = shell.json("organisation", "set-plan", "Pro", "--preview")

    assert foreseen["seats_before"] == 5
    assert shell.state().plan == "Standard"
    shell.answer("organisation", "set-plan", "Pro", "--plan", foreseen["plan_hash"])
    assert shell.seats() == (6, 0)
    assert shell.new_actions() == [
        "mapping.previewed",
        "mapping.applied",
        "seat.limit_changed",
        "role.granted",
        "seat.assigned",
    ]


def test_unlimited_is_said_in_words(shell: Shell) -> None:
    begin(shell)

    missing = shell.fail(1, "organisation", "set-plan", "Enterprise")

    assert missing == (
        "plan 'Enterprise' has no number of seats of its own; give one, or say unlimited (MT-14)"
    )
    assert "is no number of seats" in shell.fail(2, "organisation", "set-plan", "Enterprise", "--seats", "0")
    shell.answer("organisation", "set-plan", "Enterprise", "--seats", "unlimited")
    assert shell.json("seats")["limit"] is None
    assert "of unlimited seats used" in shell.answer("seats")
