"""Every hostile message of docs/guides/saml-attacks.md is refused for its reason, quickly and silently."""

import socket
import time
from collections.abc import Iterator

import pytest

from saml.errors import LoginDenied
from saml.login import Examination, Login, Result
from saml.pipeline import examine_response, judge_response
from tests.saml_forge.accepted import expectations, form_value, trust
from tests.saml_forge.cases import ATTACKS, CANARY, CLASSES, Attack, attacks_of
from tests.saml_forge.tree import TABLE, kept_files, made_files, table_rows

CASES = [
    (name, attack)
    for name in CLASSES
    for attack in attacks_of(name)
    if attack.at == "pipeline" and not attack.literal
]
by_file = pytest.mark.parametrize(
    ("name", "attack"), CASES, ids=[f"{name}/{attack.file}" for name, attack in CASES]
)
# Of the processor: a loaded machine is no fault of the code.
MOST_SECONDS = 1.0


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A listener that nobody may speak to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def posted(name: str, attack: Attack) -> str:
    """The field as the file has it; of what is too large to be kept, as it was made."""
    if not attack.is_kept:
        return attack.form_value
    return form_value(attack.file, (ATTACKS / name / attack.file).read_bytes())


def judge(attack: Attack, value: str) -> Login:
    return judge_response(value, trust=trust(attack.given), expectations=expectations(attack.given))


@pytest.fixture(autouse=True)
def no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that judges a message opens a connection, to whatever it names."""
    monkeypatch.setattr(socket.socket, "connect", None)


@by_file
def test_attack_is_refused_for_its_reason(name: str, attack: Attack) -> None:
    value = posted(name, attack)

    began = time.process_time()
    with pytest.raises(LoginDenied) as denied:
        judge(attack, value)

    assert denied.value.reason == attack.reason
    assert time.process_time() - began < MOST_SECONDS


LITERAL = [(name, attack) for name in CLASSES for attack in attacks_of(name) if attack.literal]


@pytest.mark.parametrize(("name", "attack"), LITERAL, ids=[attack.file for _, attack in LITERAL])
def test_look_alike_logs_in_as_the_whole_text_that_it_is(name: str, attack: Attack) -> None:
    login = judge(attack, posted(name, attack))

    assert login.name_id is not None
    assert login.name_id.value == attack.literal


@by_file
def test_examination_names_the_check_that_failed(name: str, attack: Attack) -> None:
    value = posted(name, attack)

    told = examine_response(value, trust=trust(attack.given), expectations=expectations(attack.given))

    assert told.login is None
    assert_a_check_failed(told)


def assert_a_check_failed(told: Examination) -> None:
    """At least one, in words; what was not reached is said, and nothing stands between it and what failed."""
    results = [check.result for check in told.checks]
    assert [check.name for check in told.checks if check.result is Result.FAIL and not check.words] == []
    first = results.index(Result.FAIL)
    if Result.NOT_REACHED in results:
        assert set(results[first + 1 :]) == {Result.NOT_REACHED}


FETCHING = [
    (name, attack.file)
    for name in CLASSES
    for attack in attacks_of(name)
    if attack.at == "pipeline" and attack.is_kept and CANARY.encode() in attack.content
]


@pytest.mark.parametrize(("name", "file"), FETCHING, ids=[f"{name}/{file}" for name, file in FETCHING])
def test_no_address_in_a_message_is_fetched(name: str, file: str, canary: socket.socket) -> None:
    port = canary.getsockname()[1]
    made = {attack.file: attack for attack in attacks_of(name, f"http://127.0.0.1:{port}")}
    attack = made[file]

    with pytest.raises(LoginDenied):
        judge(attack, attack.form_value)
    examine_response(attack.form_value, trust=trust(attack.given), expectations=expectations(attack.given))

    with pytest.raises(BlockingIOError):
        canary.accept()


def test_files_are_what_their_generators_make() -> None:
    made = made_files()

    assert kept_files() == made.keys()
    changed = [str(path) for path, content in made.items() if path.read_bytes() != content]
    assert changed == []


def test_every_attack_stands_in_the_table() -> None:
    rows = [
        line for line in TABLE.read_text(encoding="utf-8").splitlines() if line[:3].rstrip(" ")[-1:].isdigit()
    ]

    assert rows == table_rows()


def test_every_class_has_attacks() -> None:
    assert len(CLASSES) == 19
    assert [name for name in CLASSES if not attacks_of(name)] == []
