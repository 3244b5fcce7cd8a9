"""Connections: settings that are good or told whole, and metadata that is taken or leaves everything as it was."""

from datetime import timedelta

import pytest

from audit.actors import AdminActor
from directory.ids import ConnectionId, RoleId
from directory.sso_changes import (
    EnforceLogin,
    NoteMetadataFailure,
    PutConnection,
    RecordTest,
    RemoveConnection,
    RetireIdPCertificate,
    TakeMetadata,
)
from provisioning.connection_settings import find_faults
from provisioning.connections import MOST_CONNECTIONS
from provisioning.errors import RefusalCode
from provisioning.logins import ConnectionSettings
from tests.builders import ADMIN, MEMBER, MONDAY, World, on_sqlite_only
from tests.provisioning.signing import ENTITY_ID, Provider, certificate, changed, fingerprint, own_domain

Settings = dict[str, str | int | bool]


def put(world: World, name: str = "entra", **settings: str | int | bool) -> PutConnection:
    return PutConnection(ConnectionId(world.new_id()), name, settings)


def test_a_connection_is_stored_with_all_of_its_settings(world: World) -> None:
    said = put(world, " entra ", idp_entity_id=ENTITY_ID, clock_skew_seconds=60, preset="entra")

    world.do(said)
    world.do(said)

    with world.read() as reader:
        (stored,) = reader.sso.connections()
    assert (stored.name, stored.version, stored.read.clock_skew_seconds) == ("entra", 1, 60)
    (body,) = world.new_bodies()
    assert body["action"] == "connection.created"
    assert changed(body) == {
        "name": "entra",
        "version": 1,
        "settings.idp_entity_id": ENTITY_ID,
        "settings.clock_skew_seconds": 60,
        "settings.preset": "entra",
    }


def test_another_setting_is_another_version_and_no_change_of_access(world: World) -> None:
    provider = Provider(world)
    version = world.state.access_version

    world.do(provider.put(require_signed_assertion=True, require_encrypted_assertion=True))

    assert provider.stored.version == 2
    assert world.state.access_version == version
    (body,) = world.new_bodies()
    assert changed(body) == {
        "name": "entra",
        "version": 2,
        "settings.require_inner_signature": True,
        "settings.require_encryption": True,
    }


def test_the_record_holds_no_query_of_an_address(world: World) -> None:
    provider = Provider(world)

    world.do(provider.put(metadata_url="https://idp.example.org/md?key=canary"))

    (body,) = world.new_bodies()
    assert changed(body)["settings.metadata_url"] == "https://idp.example.org/md"


@on_sqlite_only
@pytest.mark.parametrize(
    "settings",
    [
        {"sso_url": "https://idp/sso"},
        {"sso_url": "https://[::1]:8443/sso?x=1"},
        {"sso_url": "http://localhost:8080/"},
        {"metadata_url": "http://127.0.0.1/md", "slo_url": "http://[::1]/slo"},
        {"clock_skew_seconds": 0, "overlap_hours": 720, "session_minutes": 43_200},
        {"metadata_signer": "a" * 64, "groups_separator": ";"},
        {"initiated_targets": "https://app.example.org/a\nhttps://app.example.org/b", "idp_initiated": True},
        {"default_role": "Member", "jit": True},
        {"identity_key": "http://schemas.example/oid", "requested_authn_context": "urn:x"},
        {name.name: name.default for name in ConnectionSettings.__dataclass_fields__.values()},
    ],
)
def test_good_settings_are_taken(world: World, settings: Settings) -> None:
    world.do(PutConnection(ConnectionId(world.new_id()), "entra", settings))


ADDRESS = "is an https address without a user and a fragment (http on this machine only)"


@on_sqlite_only
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sso_url": "http://idp.example.org/"}, f"setting 'sso_url' {ADDRESS}"),
        ({"sso_url": "http://localhost.evil.example/"}, f"setting 'sso_url' {ADDRESS}"),
        ({"slo_url": "https://user:pass@idp.example.org/"}, f"setting 'slo_url' {ADDRESS}"),
        ({"metadata_url": "https://idp.example.org/#x"}, f"setting 'metadata_url' {ADDRESS}"),
        ({"metadata_url": "javascript:alert(1)"}, f"setting 'metadata_url' {ADDRESS}"),
        ({"sso_url": "https://idp.example.org/" + "x" * 2000}, f"setting 'sso_url' {ADDRESS}"),
        ({"sso_binding": "artifact"}, "setting 'sso_binding' is one of redirect, post, not 'artifact'"),
        (
            {"clock_skew_seconds": 301},
            "setting 'clock_skew_seconds' is a whole number from 0 to 300, not '301'",
        ),
        (
            {"clock_skew_seconds": -1},
            "setting 'clock_skew_seconds' is a whole number from 0 to 300, not '-1'",
        ),
        ({"clock_skew_seconds": True}, "setting 'clock_skew_seconds' is a whole number, not 'True'"),
        ({"jit": "yes"}, "setting 'jit' is true or false, not 'yes'"),
        ({"preset": 1}, "setting 'preset' is a text, not '1'"),
        (
            {"idp_entity_id": "x" * 1025},
            "setting 'idp_entity_id' is a text of at most 1024 printable characters",
        ),
        ({"idp_entity_id": "a\0b"}, "setting 'idp_entity_id' is a text of at most 1024 printable characters"),
        ({"identity_key": " x"}, "setting 'identity_key' begins or ends with whitespace"),
        ({"groups_separator": ";;;;"}, "setting 'groups_separator' is at most 3 printable characters"),
        (
            {"metadata_signer": "AB"},
            "setting 'metadata_signer' is the SHA-256 of a certificate, 64 small hexadecimal figures",
        ),
        ({"initiated_targets": "/local"}, "setting 'initiated_targets' lists https addresses, a line each"),
        (
            {"initiated_targets": "https://a.example\n" * 21},
            "setting 'initiated_targets' lists 21 addresses; at most 20 are kept",
        ),
        ({"default_role": "Admin"}, "Admin is equivalent to an administrator; nobody is one by default"),
        (
            {"default_role": "Owner"},
            "nobody becomes Owner by a rule; ownership is handed over by the owner or the operator",
        ),
    ],
)
def test_what_cannot_be_a_setting_is_told(world: World, settings: Settings, words: str) -> None:
    refused = world.refuse(PutConnection(ConnectionId(world.new_id()), "entra", settings))

    assert (refused.code, refused.message) == (RefusalCode.INVALID, words)


@on_sqlite_only
def test_an_unknown_setting_is_told_with_those_there_are(world: World) -> None:
    assert world.refuse(put(world, tolerant=True)).message.startswith(
        "'tolerant' is no setting of a connection; settings are idp_entity_id, sso_url, "
    )


@on_sqlite_only
def test_all_faults_are_told_together(world: World) -> None:
    Provider(world, "Entra")
    world.put_directory("hq")

    refused = world.refuse(put(world, "ENTRA", sso_url="x", preset="y", jit=True))

    assert refused.message.split("; ")[:3] == [
        "a connection named 'ENTRA' exists",
        "choose another name",
        f"setting 'sso_url' {ADDRESS}",
    ]
    assert "setting 'jit' makes nobody while a directory says who the people are; pause that first" in (
        refused.message
    )


@on_sqlite_only
@pytest.mark.parametrize("name", ["", "  ", "n" * 201, "a\nb"])
def test_a_connection_has_a_name(world: World, name: str) -> None:
    assert world.refuse(put(world, name)).message == (
        "a connection needs a name of at most 200 printable characters"
    )


@on_sqlite_only
def test_the_highest_role_is_no_default_even_where_it_is_no_administrator_s(world: World) -> None:
    with world.read() as reader:
        compiled = world.models.get(reader, reader.organisation())
    roles = {role_id: role for role_id, role in compiled.roles.items() if role_id != ADMIN}

    assert find_faults({"default_role": MEMBER}, catalogue=compiled.catalogue, roles=compiled.roles) == []
    told = find_faults({"default_role": MEMBER}, catalogue=compiled.catalogue, roles=roles)
    assert told == [f"{MEMBER} is the highest role; nobody gets it by signing in"]


@on_sqlite_only
def test_connections_are_bounded(world: World) -> None:
    for number in range(MOST_CONNECTIONS):
        world.do(put(world, f"idp {number}"))

    assert "has 50 connections, the most there may be" in world.refuse(put(world, "one more")).message


def test_just_in_time_has_a_directory_of_its_own(world: World) -> None:
    provider = Provider(world)
    world.do(provider.put(jit=True))
    assert world.events() == ["connection.updated", "directory.created"]
    assert world.stored_directory(provider.directory_id).kind == "saml"

    world.do(provider.put(jit=True, default_role="Member"))
    assert world.events() == ["connection.updated", "directory.updated"]
    assert world.stored_directory(provider.directory_id).default_role == "Member"

    world.do(provider.put(jit=False, default_role="Member"))
    assert world.events() == ["connection.updated"]
    world.check()


def test_a_just_in_time_directory_takes_no_other_s_name(world: World) -> None:
    world.put_directory("hq", settings={"paused": True})

    assert world.refuse(put(world, "HQ", jit=True)).message == (
        "a directory named 'HQ' exists; choose another name"
    )


def test_just_in_time_stays_on_when_a_directory_comes_later(world: World) -> None:
    provider = Provider(world, jit=True)
    world.put_directory("hq")

    world.do(provider.put(jit=True, clock_skew_seconds=10))


def test_nobody_gives_a_default_role_beyond_their_own(world: World) -> None:
    hq = world.team("ann", role=RoleId("Operator"))
    ann = AdminActor(world.member_of(hq, "ann"))

    refused = world.refuse(put(world, default_role="Member"), actor=ann)

    assert refused.code is RefusalCode.NOT_ALLOWED


def test_a_removed_connection_signs_everybody_out(world: World) -> None:
    own_domain(world)
    provider = Provider(world)
    assert provider.sign_in("olga", "olga@example.org").session is not None
    world.events()

    world.do(RemoveConnection(provider.connection_id))

    assert provider.sessions(world.owner) == []
    deleted, logout = world.new_bodies()
    assert (deleted["action"], logout["action"]) == ("connection.deleted", "sso.logout")
    assert logout["reason"]["code"] == "connection_removed"
    assert world.chain(logout) == ["sso.logout", "connection.deleted"]
    assert world.refuse(RemoveConnection(provider.connection_id)).code is RefusalCode.NOT_FOUND


def test_what_is_obligatory_is_neither_disabled_nor_removed(world: World) -> None:
    own_domain(world)
    provider = Provider(world)
    world.do(RecordTest(provider.connection_id, "t-1", has_passed=True, version=1))
    world.do(EnforceLogin(provider.connection_id))

    assert world.refuse(RemoveConnection(provider.connection_id)).code is RefusalCode.IN_USE
    assert world.refuse(provider.put(disabled=True)).message == (
        "signing in over this connection is obligatory; lift that before it is disabled"
    )


# Metadata


def metadata(
    provider: Provider, *certificates: bytes, document: str = "<md/>", **values: object
) -> TakeMetadata:
    settings: Settings = {"idp_entity_id": ENTITY_ID, "sso_url": "https://idp.example.org/sso2"}
    said = {"settings": settings, "etag": '"1"', **values}
    return TakeMetadata(provider.connection_id, document, certificates=certificates, **said)  # type: ignore[arg-type]


def test_metadata_is_taken_with_what_it_decides(world: World) -> None:
    provider = Provider(world)
    der = certificate()

    world.do(metadata(provider, der, valid_until=MONDAY + timedelta(days=7)))

    stored = provider.stored
    assert (stored.read.sso_url, stored.version) == ("https://idp.example.org/sso2", 2)
    assert [one.sha256 for one in stored.trusted(MONDAY)] == [fingerprint(der)]
    assert stored.metadata is not None
    assert (stored.metadata.etag, stored.metadata.document) == ('"1"', "<md/>")
    taken, added = world.new_bodies()
    assert changed(taken) | {"sha256": ""} == {
        "sha256": "",
        "certificates_added": 1,
        "certificates_retired": 0,
        "valid_until": "2026-03-09T09:00:00Z",
        "settings.sso_url": "https://idp.example.org/sso2",
    }
    assert world.chain(added) == ["certificate.added", "metadata.taken"]


def test_the_same_metadata_is_no_event(world: World) -> None:
    provider = Provider(world)
    der = certificate()
    world.do(metadata(provider, der))
    world.events()
    world.clock.move(days=1)

    world.do(metadata(provider, der, etag='"2"'))

    assert world.events() == []
    copy = provider.stored.metadata
    assert copy is not None
    assert (copy.taken_at, copy.checked_at, copy.etag) == (MONDAY, world.clock(), '"2"')
    assert provider.stored.version == 2


def test_a_rollover_keeps_the_old_certificate_for_the_overlap(world: World) -> None:
    provider = Provider(world, overlap_hours=24)
    old, new = certificate("old"), certificate("new")
    world.do(metadata(provider, old))
    world.do(metadata(provider, old, new, document="<both/>"))
    world.events()

    world.do(metadata(provider, new, document="<new/>"))

    def trusted() -> set[str]:
        return {one.sha256 for one in provider.stored.trusted(world.clock())}

    assert trusted() == {fingerprint(old), fingerprint(new)}
    taken, retired = world.new_bodies()
    assert changed(taken)["certificates_retired"] == 1
    assert changed(retired)["ends_at"] == "2026-03-03T09:00:00Z"
    world.clock.move(hours=24)
    assert trusted() == {fingerprint(new)}
    world.do(metadata(provider, new, old, document="<back/>"))
    assert trusted() == {fingerprint(old), fingerprint(new)}


def test_metadata_makes_a_staged_certificate_active_and_revives_no_retired_one(world: World) -> None:
    provider = Provider(world)
    staged, lost = certificate("staged"), certificate("lost")
    world.do(provider.certificate(staged, "staged"), provider.certificate(lost))
    world.do(RetireIdPCertificate(provider.connection_id, fingerprint(lost)))

    world.do(metadata(provider, staged, lost))

    assert [one.sha256 for one in provider.stored.trusted(MONDAY)] == [fingerprint(staged)]


def test_another_entity_id_is_never_taken_by_itself(world: World) -> None:
    provider = Provider(world)
    other: Settings = {"idp_entity_id": "https://evil.example/"}

    refused = world.refuse(metadata(provider, certificate(), settings=other))

    assert refused.code is RefusalCode.ENTITY_ID_CHANGED
    assert (provider.stored.metadata, provider.stored.certificates) == (None, ())
    assert world.events() == ["command.refused"]


def test_a_draft_takes_its_entity_id_from_the_metadata(world: World) -> None:
    provider = Provider(world, idp_entity_id="")

    world.do(metadata(provider, certificate()))

    assert provider.stored.read.idp_entity_id == ENTITY_ID


@on_sqlite_only
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"settings": {"jit": True}}, "metadata does not decide the setting 'jit'"),
        ({"settings": {"sso_url": "http://x.example"}}, f"setting 'sso_url' {ADDRESS}"),
        ({"document": ""}, "a metadata document has at most 1 MiB of text"),
        ({"document": "x" * 1_048_577}, "a metadata document has at most 1 MiB of text"),
        ({"etag": "x" * 401}, "the ETag is too long"),
        ({"valid_until": MONDAY}, "the metadata was good until 2026-03-02T09:00:00Z"),
    ],
)
def test_nothing_of_bad_metadata_is_taken(world: World, values: dict[str, object], words: str) -> None:
    provider = Provider(world)

    refused = world.refuse(metadata(provider, certificate(), **values))  # type: ignore[arg-type]  # as named

    assert (refused.code, refused.message) == (RefusalCode.INVALID, words)
    assert provider.stored.version == 1


@on_sqlite_only
def test_metadata_names_good_certificates(world: World) -> None:
    provider = Provider(world)

    assert world.refuse(metadata(provider)).message == (
        "metadata names one signing certificate at least, and 20 at most"
    )
    assert world.refuse(metadata(provider, certificate(), b"junk")).code is RefusalCode.INVALID
    assert provider.stored.certificates == ()


def test_a_failing_refresh_is_told_once_until_it_succeeds(world: World) -> None:
    provider = Provider(world)
    der = certificate()
    world.do(metadata(provider, der))
    world.events()

    told = []
    for reason in ("timeout", "timeout", "not_found"):
        world.clock.move(days=1)
        world.do(NoteMetadataFailure(provider.connection_id, reason))
        told.append(world.events())
    copy = provider.stored.metadata

    assert told == [["metadata.failed"], [], []]
    assert copy is not None
    assert (copy.document, copy.failure, copy.failing_since) == (
        "<md/>",
        "not_found",
        MONDAY + timedelta(days=1),
    )
    world.do(metadata(provider, der))
    (body,) = world.new_bodies()
    assert body["changes"][-1] == {
        "path": "failing_since",
        "before": "2026-03-03T09:00:00Z",
        "after": None,
    }
    world.do(NoteMetadataFailure(provider.connection_id, "timeout"))
    assert world.events() == ["metadata.failed"]


def test_metadata_that_was_never_read_fails_too(world: World) -> None:
    provider = Provider(world, metadata_url="https://idp.example.org/md")

    world.do(NoteMetadataFailure(provider.connection_id, "timeout"))

    assert world.events() == ["metadata.failed"]
    world.do(metadata(provider, certificate()))
    assert provider.stored.metadata is not None
    assert provider.stored.metadata.failure == ""


@on_sqlite_only
def test_a_failure_is_one_word(world: World) -> None:
    provider = Provider(world)

    refused = world.refuse(NoteMetadataFailure(provider.connection_id, "Could not <b>read</b>"))

    assert refused.message == "the reason of a failure is one word in small letters"
