"""What a server sends is cut and decoded, or refused by one error, whatever the bytes are."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import ber
from sync.ber import AttributeNames, BERLimits, EntryRead, Head, MessageCutter, Result
from sync.errors import BERError
from tests import scripted_ldap as wire

LIMITS = BERLimits(message_bytes=1 << 16, value_bytes=1000, values=50)
ADA = {"uid": ["ada"], "mail": ["a@x.org", "ada@x.org"], "cn;lang-sv": ["Ada"]}
DONE = wire.result(wire.DONE)


def read(operation: bytes, limits: BERLimits = LIMITS) -> EntryRead:
    """The entry that a message with this operation holds."""
    raw = wire.message(7, operation)
    head = ber.read_head(raw)
    assert head.message_id == 7
    return ber.read_entry(raw, head.start, head.stop, AttributeNames(), limits)


def read_done(operation: bytes, *controls: bytes) -> Result:
    raw = wire.message(1, operation, *controls)
    return ber.read_result(raw, ber.read_head(raw))


# Cutting.


@given(st.lists(st.binary(max_size=300), max_size=12), st.data())
def test_messages_are_cut_the_same_however_the_stream_comes_in(
    contents: list[bytes], data: st.DataObject
) -> None:
    messages = [wire.ber(0x30, content) for content in contents]
    stream = b"".join(messages)
    cutter = MessageCutter(1 << 16)

    cut: list[bytes] = []
    at = 0
    while at < len(stream):
        stop = at + data.draw(st.integers(1, 200))
        cut += cutter.feed(stream[at:stop])
        at = stop

    assert cut == messages
    assert cutter.is_empty


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"HTTP/1.1 400 Bad", "no LDAP message"),
        (b"\x30\x80\x02\x01\x01", "no usable length"),
        (b"\x30\x85\x01\x00\x00\x00\x00", "no usable length"),
        (b"\x30\x84\x7f\xff\xff\xff", "larger than the limit of 65536"),
        (b"\x30\x83\x01\x00\x01", "65537 bytes"),
    ],
    ids=["another protocol", "indefinite", "five bytes of length", "two gigabytes", "one byte too many"],
)
def test_a_stream_that_can_be_no_message_is_refused_at_its_head(stream: bytes, words: str) -> None:
    with pytest.raises(BERError, match=words):
        fed(stream)


def test_a_message_of_many_pieces_is_joined_once() -> None:
    message = wire.ber(0x30, bytes(4 << 20))
    cutter = MessageCutter(8 << 20)

    tracemalloc.start()
    try:
        cut = [one for at in range(0, len(message), 1000) for one in cutter.feed(message[at : at + 1000])]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert cut == [message]
    assert peak < 5 * len(message)


def fed(stream: bytes) -> list[bytes]:
    """What is cut of a stream that comes in byte by byte."""
    cutter = MessageCutter(1 << 16)
    return [message for at in range(len(stream)) for message in cutter.feed(stream[at : at + 1])]


# Heads.


def test_the_head_says_whose_answer_a_message_is_and_of_which_kind() -> None:
    raw = wire.message(70_000, DONE, wire.paging())

    head = ber.read_head(raw)

    assert (head.message_id, head.kind) == (70_000, ber.SEARCH_DONE)
    assert raw[head.start : head.stop] == wire.parts(DONE)[0][1]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x30\x00",
        b"\x30\x02\x04\x00",
        b"\x30\x07\x02\x05\x00\x00\x00\x00\x01",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x01\x64\x7f",
        b"\x30\x05\x02\x01\x01\x64\x80",
        b"\x30\x05\x02\x01\x01\x64\x84",
    ],
)
def test_a_head_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(BERError):
        ber.read_head(raw)


# Entries.


def test_an_entry_is_read_with_its_names_in_lower_case_and_its_values_as_they_are() -> None:
    values = [b"", b"\xff\x00", b"x" * 127, b"y" * 128, b"z" * 300]

    found = read(wire.entry("uid=ada,o=x", {"CN;lang-SV": values, "empty": []}))

    assert found == (b"uid=ada,o=x", {"cn;lang-sv": values}, None)


def test_an_attribute_that_comes_twice_is_one_attribute() -> None:
    twice = b"".join(
        wire.ber(0x30, wire.octets("mail") + wire.ber(0x31, wire.octets(mail))) for mail in ("a", "b")
    )

    assert read(wire.ber(wire.ENTRY, wire.octets("o=x") + wire.ber(0x30, twice))).attributes == {
        "mail": [b"a", b"b"]
    }


def test_lengths_in_a_longer_form_than_needed_are_read() -> None:
    # Active Directory writes every length of a constructed type in four bytes.
    def padded(tag: int, content: bytes) -> bytes:
        return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content

    attribute = padded(0x30, padded(0x04, b"cn") + padded(0x31, padded(0x04, b"Ada")))

    found = read(padded(wire.ENTRY, padded(0x04, b"o=x") + padded(0x30, attribute)))

    assert found == (b"o=x", {"cn": [b"Ada"]}, None)


def test_names_are_one_text_in_memory_and_a_range_option_is_noticed() -> None:
    names = AttributeNames()

    first, again = names.learn(b"memberOf"), names.known[b"memberOf"]
    assert first is again
    assert not names.has_ranges
    assert names.learn(b"member;range=0-1499") == "member;range=0-1499"
    assert names.has_ranges


def test_names_without_end_are_not_kept_without_end() -> None:
    names = AttributeNames()

    for number in range(5000):
        names.learn(b"a%d" % number)

    assert len(names.known) == 4096


def test_an_entry_with_a_value_above_the_limit_keeps_the_rest_for_whoever_identifies_it() -> None:
    found = read(wire.entry("uid=ada,o=x", {"photo": [b"x" * 1001], "uid": ["ada"]}))

    assert found.attributes == {"uid": [b"ada"]}
    assert found.fault == "a value of photo is larger than 1000 bytes"


@pytest.mark.parametrize(
    "attributes",
    [
        {"member": ["m"] * 51},
        {"member": [""] * 30_000},
        {f"a{number}": ["v"] for number in range(51)},
        {f"a{number}": [] for number in range(51)},
    ],
    ids=["values", "very many values", "attributes", "empty attributes"],
)
def test_an_entry_with_too_many_values_is_given_up(attributes: dict[str, list[str]]) -> None:
    found = read(wire.entry("o=x", attributes))

    assert found.fault == "the entry has more than 50 values"
    assert sum(map(len, found.attributes.values())) <= 51


def parts_of_an_entry(**other: bytes) -> bytes:
    """An entry of one attribute, of which one part is another one."""
    given = {
        "dn": wire.octets("o=x"),
        "type": wire.octets("cn"),
        "values": wire.ber(0x31, wire.octets("Ada")),
        **other,
    }
    attribute = given.get("attribute", wire.ber(0x30, given["type"] + given["values"]))
    return wire.ber(wire.ENTRY, given["dn"] + given.get("list", wire.ber(0x30, attribute)))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"dn": wire.integer(1)}, "begin with its dn"),
        ({"dn": b"\x04\x7f"}, "begin with its dn"),
        ({"list": wire.octets("")}, "no list of attributes"),
        ({"list": b"\x30\x01"}, "no list of attributes"),
        ({"list": b"\x30\x84"}, "no usable length"),
        ({"attribute": wire.octets("cn")}, "no pair of type and values"),
        ({"attribute": b"\x30\x7f\x04\x00"}, "beyond its entry"),
        ({"type": wire.integer(1)}, "has no type"),
        ({"type": b"\x04\x7f"}, "has no type"),
        ({"type": wire.octets("c n")}, "no attribute name"),
        ({"type": wire.octets("")}, "no attribute name"),
        ({"values": wire.ber(0x30, b"")}, "no set of values"),
        ({"values": b"\x31\x7f"}, "no set of values"),
        ({"values": b""}, "inside its content"),
        ({"values": wire.ber(0x31, wire.integer(1))}, "no string of bytes"),
        ({"values": wire.ber(0x31, b"\x04\x02a")}, "beyond its attribute"),
        ({"values": wire.ber(0x31, b"\x04\x82\x10\x00a")}, "beyond its attribute"),
        ({"values": wire.ber(0x31, b"\x04\x80")}, "no usable length"),
    ],
)
def test_an_entry_of_another_shape_is_faulty_and_says_where(other: dict[str, bytes], words: str) -> None:
    fault = read(parts_of_an_entry(**other)).fault

    assert fault is not None
    assert words in fault


# Results.


def test_a_result_is_read_with_its_texts_referrals_and_controls() -> None:
    done = wire.result(
        wire.DONE, 10, matched="o=x", text="gone \u00e4", rest=wire.referral("ldap://a", "ldap://b")
    )

    found = read_done(done, wire.paging(b"next", 7), wire.control("1.2.3", critical=True))

    assert (found.code, found.matched_dn, found.text) == (10, "o=x", "gone \u00e4")
    assert found.referrals == ("ldap://a", "ldap://b")
    assert set(found.controls) == {wire.PAGING, "1.2.3"}
    assert ber.read_paging_cookie(found.controls[wire.PAGING]) == b"next"


def test_an_extended_answer_gives_its_name_and_value() -> None:
    rest = wire.ber(0x8A, wire.DISCONNECTION.encode()) + wire.ber(0x8B, b"value") + wire.ber(0x87, b"other")

    found = read_done(wire.result(wire.EXTENDED_ANSWER, 52, rest=rest))

    assert (found.code, found.name, found.value) == (52, wire.DISCONNECTION, b"value")


@pytest.mark.parametrize(
    ("operation", "controls"),
    [
        (wire.ber(wire.DONE, b""), ()),
        (wire.ber(wire.DONE, wire.integer(0)), ()),
        (wire.ber(wire.DONE, wire.integer(0) * 3), ()),
        (wire.ber(wire.DONE, b"\x0a\x05\x00\x00\x00\x00\x00\x04\x00\x04\x00"), ()),
        (wire.ber(wire.DONE, b"\x0a\x7f\x00"), ()),
        (DONE + wire.integer(1), ()),
        (DONE, (wire.ber(0x30, wire.integer(1)),)),
        (DONE, (wire.ber(0x30, wire.octets("1.2") + wire.integer(1)),)),
        (DONE, (wire.ber(0x30, b""),)),
        (DONE, (wire.control("1.2"),) * 51 + tuple(wire.control(f"1.{n}") for n in range(51))),
    ],
)
def test_an_answer_without_a_proper_result_is_refused(operation: bytes, controls: tuple[bytes, ...]) -> None:
    with pytest.raises(BERError):
        read_done(operation, *controls)


@pytest.mark.parametrize(
    "value", [b"", b"\x30", b"\x31\x00", wire.ber(0x30, wire.octets("c")), wire.ber(0x30, wire.integer(0))]
)
def test_a_paging_control_of_another_shape_is_refused(value: bytes) -> None:
    with pytest.raises(BERError):
        ber.read_paging_cookie(value)


def test_a_paging_control_with_more_behind_it_is_refused() -> None:
    value = wire.ber(0x30, wire.integer(0) + wire.octets("c"))

    with pytest.raises(BERError, match="malformed"):
        ber.read_paging_cookie(value + b"\x04\x00")


def test_the_password_policy_s_error_is_found_beside_its_warning() -> None:
    warning = wire.ber(0xA0, wire.ber(0x80, b"\x05"))

    assert ber.read_policy_error(wire.ber(0x30, warning + wire.ber(0x81, b"\x01"))) == 1
    assert ber.read_policy_error(wire.ber(0x30, warning)) is None
    with pytest.raises(BERError):
        ber.read_policy_error(b"\x30")


def test_a_reference_gives_its_uris_and_not_more_than_twenty() -> None:
    raw = wire.message(1, wire.reference(*[f"ldap://{number}" for number in range(30)]))

    assert len(ber.read_reference(raw, ber.read_head(raw))) == 20
    broken = wire.message(1, wire.ber(wire.REFERENCE, b"\x04"))
    with pytest.raises(BERError):
        ber.read_reference(broken, ber.read_head(broken))


# Anything.


def decoded(raw: bytes) -> None:
    """Read the bytes in every way; nothing but `BERError` may come of it."""
    try:
        messages = MessageCutter(1 << 16).feed(raw)
    except BERError:
        messages = [raw]
    for one in messages:
        try:
            head = ber.read_head(one)
        except BERError:
            head = Head(0, 0, 0, len(one))
        ber.read_entry(one, head.start, head.stop, AttributeNames(), LIMITS)
        for reader in (ber.read_result, ber.read_reference):
            try:
                reader(one, head)
            except BERError:
                continue
        for value_reader in (ber.read_paging_cookie, ber.read_policy_error):
            try:
                value_reader(one)
            except BERError:
                continue


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_the_one_error(raw: bytes) -> None:
    decoded(raw)


GOOD = [
    wire.message(3, wire.entry("uid=ada,o=x", ADA)),
    wire.message(3, wire.entry("o=x", {"photo": [b"x" * 200], "member": ["a", "b"] * 20})),
    wire.message(4, wire.result(wire.DONE, 10, text="t", rest=wire.referral("ldap://a")), wire.paging(b"c")),
    wire.message(5, wire.reference("ldap://a/o=x")),
]


@given(st.sampled_from(GOOD), st.data())
def test_no_damage_to_a_good_message_raises_anything_but_the_one_error(
    message: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.sampled_from([0, 1, 4, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x84, 0x85, 0xFF]))
    cut = data.draw(st.integers(0, len(damaged)))

    decoded(bytes(damaged))
    decoded(bytes(damaged[:cut]))


VALUES = st.lists(st.binary(max_size=200), min_size=1, max_size=4)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, max_size=6), st.binary())
def test_every_entry_that_is_well_formed_comes_out_as_it_went_in(
    attributes: dict[str, list[bytes]], dn: bytes
) -> None:
    assert read(wire.entry(dn, attributes)) == (dn, attributes, None)


def test_a_nesting_bomb_is_refused_without_recursion() -> None:
    bomb = b""
    for _ in range(5000):
        bomb = wire.ber(0x30, bomb)

    decoded(wire.ber(0x30, wire.integer(1) + wire.ber(wire.DONE, bomb)))
    decoded(wire.ber(0x30, wire.integer(1) + wire.ber(wire.ENTRY, wire.octets("o=x") + bomb)))
