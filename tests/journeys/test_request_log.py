"""What an identity provider asked, read, explained and done again from the command line."""

import json

import pytest

from tests.journeys.pushes import USER, Provider, add_scim, provider
from tests.journeys.shell import Shell

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@pytest.fixture
def acme(shell: Shell) -> Shell:
    shell.set_up()
    return shell


@pytest.fixture
def idp_of(acme: Shell) -> tuple[str, str]:
    return add_scim(acme)


def logged(shell: Shell, *options: str) -> list[dict[str, object]]:
    found = shell.json("scim", "log", *options)
    assert isinstance(found, list)
    return found


def push(idp: Provider) -> None:
    """A probe, a user with a password, the same name once more, and a PATCH in Entra's way."""
    assert idp.ask("GET", "Users", query='filter=userName eq "ada"').status_code == 200
    made = idp.add_user("ada", password="hidden-1", displayName="Ada L.")
    assert made.status_code == 201
    assert idp.add_user("ADA").status_code == 409
    change = {"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]}
    assert idp.ask("PATCH", f"Users/{made.get_json()['id']}", change).status_code == 200


def test_the_log_lists_the_newest_first_and_can_be_narrowed(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        push(idp)
    acme.mark()

    rows = logged(acme)

    assert [(row["method"], row["status"]) for row in rows] == [
        ("PATCH", 200),
        ("POST", 409),
        ("POST", 201),
        ("GET", 200),
    ]
    assert [row["scim_type"] for row in logged(acme, "idp", "--failed")] == ["uniqueness"]
    assert [row["status"] for row in logged(acme, "--method", "post", "--status", "201")] == [201]
    assert [row["method"] for row in logged(acme, "--text", 'userName eq "ada"')] == ["GET"]
    assert [row["method"] for row in logged(acme, "--text", "Ada L.")] == ["PATCH", "POST"]
    assert [row["id"] for row in logged(acme, "--limit", "1", "--before", str(rows[0]["id"]))] == [
        rows[1]["id"]
    ]
    assert len(logged(acme, "--since", "1h")) == 4
    assert logged(acme, "--until", "1h") == []
    assert set(acme.new_actions()) == {"scim_log.read"}
    assert "is no id of a request" in acme.fail(2, "scim", "log", "--before", "x")
    told = acme.answer("scim", "log")
    assert "POST /Users" in told
    assert 'GET /Users?filter=userName eq "ada"' in told
    assert "hidden-1" not in told
    assert acme.answer("scim", "log", "--status", "418") == "No such request.\n"


def test_reading_the_log_says_what_was_looked_for_but_no_name(acme: Shell, idp_of: tuple[str, str]) -> None:
    acme.mark()

    logged(acme, "--failed", "--status", "409", "--method", "post", "--text", "Ada", "--since", "2026-01-01")

    (body,) = acme.new_events()
    said = {change["path"]: change["after"] for change in body["changes"]}
    assert said == {
        "rows": 0,
        "query": "list",
        "filter": "failed=yes status=409 method=POST text=yes since=2026-01-01T00:00:00Z",
    }
    assert "read the request log of directory 'idp', 0 requests" in acme.answer(
        "audit", "list", "--limit", "1"
    )


def test_a_request_is_shown_whole_with_what_it_changed(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        push(idp)
    patch, _, post, _ = logged(acme)

    whole = acme.json("scim", "show", str(post["id"]))
    told = acme.answer("scim", "show", str(post["request_id"]))

    assert whole["request_body"]["userName"] == "ada"
    assert "hidden-1" not in json.dumps(whole) + told
    assert whole["answer_body"]["userName"] == "ada"
    assert "SCIM token 'idp' of directory 'idp' added Ada L. to the directory." in [
        event["text"] for event in whole["events"]
    ]
    assert whole["explanation"] is None
    assert told.startswith("POST /Users -> 201\n")
    assert '    "userName": "ada"' in told
    assert "It changed:\n  SCIM token 'idp' of directory 'idp' added Ada L. to the directory.  [" in told
    shown = acme.answer("scim", "show", str(patch["id"]))
    assert 'Leniency text_boolean: A boolean was given as the text "True" or "False".' in shown
    assert "Leniency operation_case: The `op` of an operation was not in lower case." in shown


def test_a_failure_is_explained_in_plain_words(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        push(idp)
    (failed,) = logged(acme, "--failed")

    told = acme.answer("scim", "show", str(failed["id"]))

    assert "-> 409 uniqueness" in told
    assert "It changed nothing." in told
    assert "The name is taken. Another live user has this `userName`" in told
    assert "What to do: Let the identity provider match the present one" in told
    assert acme.json("scim", "show", str(failed["id"]))["explanation"]["title"] == "The name is taken"


def test_a_body_that_is_no_json_is_shown_as_it_is_kept(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        answer = idp.ask("POST", "Users", data=b"{nope", content_type="application/scim+json")
    assert answer.status_code == 400
    (failed,) = logged(acme)

    told = acme.answer("scim", "show", str(failed["id"]))

    assert "  [no JSON: 5 bytes]" in told
    assert "The body cannot be read." in told
    assert acme.json("scim", "show", str(failed["id"]))["request_body"] == "[no JSON: 5 bytes]"
    refused = acme.fail(1, "scim", "replay", str(failed["id"]))
    assert refused == f"request '{failed['id']}' is in the log in parts only and cannot be done again"


def test_a_full_organisation_is_explained_by_its_seats(shell: Shell) -> None:
    shell.set_up(plan="Starter")
    base_url, token = add_scim(shell, "idp", "--default-role", "Member")
    with provider(shell, base_url, token) as idp:
        assert idp.add_user("ada").status_code == 403
    (failed,) = logged(shell)

    told = shell.answer("scim", "show", str(failed["id"]))

    assert "There is no seat left." in told
    assert "Seat limit reached: 1 of 1 used (plan Starter)." in told
    assert "asked for a seat" in told
    assert "There is no seat left." in shell.answer("scim", "replay", str(failed["id"]))


def test_a_replay_says_what_would_happen_and_changes_nothing(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        made = idp.add_user("ada", displayName="Ada")
        idp.ask("DELETE", f"Users/{made.get_json()['id']}")
    delete, post = logged(acme)
    acme.mark()

    told = acme.answer("scim", "replay", str(post["id"]))

    assert told.startswith("POST /Users, answered 201 then, 201 now.\nIt would change:\n")
    assert "added" in told
    assert acme.new_actions() == ["scim_log.read"]
    document = acme.json("scim", "replay", str(delete["id"]))
    assert (document["status_then"], document["status"], document["applied"]) == (204, 404, False)
    assert document["events"] == []
    with acme.read() as reader:
        directory = next(iter(reader.directories()))
        assert reader.counts(directory.directory_id)["users"] == 0


def test_applying_a_logged_request_is_the_operator_s_own_deed(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        made = idp.add_user("ada", displayName="Ada")
        idp.ask("DELETE", f"Users/{made.get_json()['id']}")
    _, post = logged(acme)
    acme.mark()

    told = acme.answer("scim", "replay", str(post["id"]), "--apply")

    assert "It was done as request " in told
    assert "It changed:\n" in told
    bodies = acme.new_events()
    assert [body["action"] for body in bodies][:2] == ["scim_log.replayed", "user.created"]
    assert {body["actor"]["type"] for body in bodies} == {"admin"}
    assert bodies[1]["cause"]["scim_request_id"] == next(
        change["after"] for change in bodies[0]["changes"] if change["path"] == "as_request"
    )
    (again, *_) = logged(acme)
    assert (again["method"], again["status"], again["token"]) == ("POST", 201, "")
    taken = acme.json("scim", "replay", str(again["id"]), "--apply")
    assert (taken["status"], taken["scim_type"]) == (409, "uniqueness")
    assert taken["explanation"]["title"] == "The name is taken"


def test_a_read_is_replayed_too(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        idp.ask("GET", "Users", query='filter=userName eq "ada"')
    (row,) = logged(acme)

    for options in ((), ("--apply",)):
        document = acme.json("scim", "replay", str(row["id"]), *options)
        assert (document["status"], document["answer_body"]["totalResults"]) == (200, 0)
    told = acme.answer("scim", "replay", str(row["id"]))
    assert "It would change nothing." in told


def test_values_that_were_not_kept_cannot_be_applied(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        assert idp.add_user("ada", secretThing="hidden-2").status_code == 201
    (row,) = logged(acme)

    told = acme.answer("scim", "replay", str(row["id"]))

    assert "Values that the log did not keep are marks in it" in told
    assert "Leniency ignore_unknown: " in told
    assert acme.fail(1, "scim", "replay", str(row["id"]), "--apply") == (
        f"request '{row['id']}' holds values that the log did not keep; let the identity provider push it again"
    )


def test_a_request_that_was_turned_away_is_not_done_again(acme: Shell, idp_of: tuple[str, str]) -> None:
    acme.answer("token", "revoke", "idp")
    with provider(acme, *idp_of) as idp:
        assert idp.add_user("ada").status_code == 401
    (row,) = logged(acme)

    assert "was turned away at the door" in acme.fail(1, "scim", "replay", str(row["id"]))
    assert "The token does not open this directory." in acme.answer("scim", "show", str(row["id"]))


def test_no_other_organisation_reads_the_log(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        idp.add_user("ada")
    (row,) = logged(acme)
    acme.create("Other")
    acme.environ["USHER_ORGANISATION"] = "Other"

    for command in ("show", "replay"):
        told = acme.fail(1, "scim", command, str(row["id"]))
        assert told == f"there is no request '{row['id']}' in the log; list them with 'usher scim log'"


def test_a_client_s_own_request_id_finds_its_request(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        answer = idp.ask("GET", "Groups", headers={"X-Request-Id": "entra-0001"})
    assert answer.headers["X-Request-Id"] == "entra-0001"

    assert acme.json("scim", "show", "entra-0001")["path"] == "Groups"


def test_the_status_of_a_directory_has_its_last_request(acme: Shell, idp_of: tuple[str, str]) -> None:
    with provider(acme, *idp_of) as idp:
        idp.ask("GET", f"Users/{USER}")

    assert acme.json("directory", "status")["last_request"].endswith(", 404")
    assert "Last request " in acme.answer("directory", "status")
