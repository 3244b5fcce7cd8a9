"""The form of an LDIF file: what is read, what is rejected alone, and what ends the reading. Source: RFC 2849."""

import io
import tracemalloc
from base64 import b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.entries import RawEntry, RejectedEntry
from sync.errors import LDIFError
from sync.ldif_reader import LDIFLimits, LDIFReading, read_ldif

GOOD = b"dn: uid=ada,o=x\nuid: ada\n\n"
# After it the reader knows these names, and reads records that use them on its short way.
KNOWN = b"dn: uid=eve,o=x\nb: c\nphoto:: AAE=\n\n"


class Trickle(io.BytesIO):
    """A stream that gives few bytes at a time, so that every record is cut somewhere."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size)


def opened(
    content: bytes, *, limits: LDIFLimits | None = None, wanted: frozenset[str] | None = None
) -> LDIFReading:
    return read_ldif(io.BytesIO(content), limits=limits, wanted=wanted)


def entries(content: bytes) -> list[RawEntry]:
    read = list(opened(content))
    assert all(isinstance(entry, RawEntry) for entry in read), read
    return [entry for entry in read if isinstance(entry, RawEntry)]


def only_rejected(content: bytes, *, limits: LDIFLimits | None = None) -> RejectedEntry:
    """The one rejected entry of a file in which every other one is read."""
    rejected = [entry for entry in opened(content, limits=limits) if isinstance(entry, RejectedEntry)]
    assert len(rejected) == 1, rejected
    return rejected[0]


# What is read.


def test_attributes_keep_the_order_of_their_values() -> None:
    first, second = entries(b"dn: cn=g,o=x\nmember: b\ncn: g\nmember: a\n\n" * 2)

    assert first.attributes == second.attributes == {"member": [b"b", b"a"], "cn": [b"g"]}


def test_attribute_names_are_lower_case_and_keep_their_options() -> None:
    (entry,) = entries(
        b"dn: cn=g,o=x\nCN;Lang-SV: g\nuserCertificate;binary:: AAE=\nmember;range=0-1499: a\n\n"
    )

    assert entry.attributes == {
        "cn;lang-sv": [b"g"],
        "usercertificate;binary": [b"\0\1"],
        "member;range=0-1499": [b"a"],
    }


@pytest.mark.parametrize(
    "lead", [b"", b"version: 1\n", b"version: 1\n\n", b"# a tool\n\nversion: 1\n\n", b"\n\n\n"]
)
def test_the_version_line_is_optional(lead: bytes) -> None:
    assert [entry.dn for entry in entries(lead + GOOD)] == [b"uid=ada,o=x"]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert [entry.dn for entry in entries(b"\xef\xbb\xbf" + GOOD)] == [b"uid=ada,o=x"]


def test_folded_lines_are_one_value() -> None:
    (entry,) = entries(b"dn: uid=ada,\n o=x\ndescription: a lon\n g text\n  of words\nphoto:: AA\n E=\n\n")

    assert entry.dn == b"uid=ada,o=x"
    assert entry.attributes == {"description": [b"a long text of words"], "photo": [b"\0\1"]}


def test_a_dn_and_values_in_base64_are_decoded() -> None:
    dn = "cn=Zoë Grüße,o=x".encode()
    (entry,) = entries(b"dn:: " + b64encode(dn) + b"\ncn:: " + b64encode("Zoë".encode()) + b"\n\n")

    assert entry.dn == dn
    assert entry.attributes == {"cn": ["Zoë".encode()]}


def test_raw_bytes_beyond_ascii_are_carried() -> None:
    (entry,) = entries("dn: cn=Zoë,o=x\ncn: Zoë\n\n".encode())

    assert entry.attributes == {"cn": ["Zoë".encode()]}


def test_crlf_and_lf_read_alike() -> None:
    content = b"version: 1\n\n# note\n on two lines\ndn: uid=ada,o=x\ndescription: two\n  parts\n\n\n" + GOOD

    assert entries(content.replace(b"\n", b"\r\n")) == entries(content)


def test_comments_may_stand_anywhere_and_be_folded() -> None:
    content = b"# head\n folded\n\ndn: uid=ada,o=x\n# between\n dn: uid=eve,o=x\nuid: ada\n# end\n\n# tail\n"

    assert entries(content) == [RawEntry(b"uid=ada,o=x", {"uid": [b"ada"]}, 4)]


def test_empty_values_and_missing_blanks_are_read() -> None:
    (entry,) = entries(b"dn:uid=ada,o=x\nuid:ada\ncn:\nsn: \ntitle:   far\nmail:: \nurl:see http: //x\n\n")

    assert entry.attributes == {
        "uid": [b"ada"],
        "cn": [b""],
        "sn": [b""],
        "title": [b"far"],
        "mail": [b""],
        "url": [b"see http: //x"],
    }


def test_each_entry_names_the_line_of_its_dn() -> None:
    content = b"version: 1\n\n\n\ndn: a=1\nb: folded\n  here\n\n# note\ndn: a=2\nb: c\n\n\ndn: a=3\nb: c\n\n"

    assert [entry.number for entry in entries(content)] == [5, 10, 14]


def test_only_wanted_attributes_are_decoded() -> None:
    content = b"dn: uid=ada,o=x\nuid: ada\njpegPhoto:: not base64\ntitle: Dr\ncn;lang-sv:: QWRh\n\n"

    first, second = opened(content * 2, wanted=frozenset({"uid", "cn"}))

    assert first.attributes == second.attributes == {"uid": [b"ada"], "cn;lang-sv": [b"Ada"]}


def test_more_names_than_a_schema_has_are_read_all_the_same() -> None:
    content = b"dn: a=1\n" + b"".join(b"name-%d: x\n" % number for number in range(5000)) + b"\n"

    (first, second) = entries(content * 2)

    assert first.attributes == second.attributes
    assert len(first.attributes) == 5000


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_reading_does_not_depend_on_how_the_stream_is_cut(size: int) -> None:
    content = (
        b"version: 1\r\n\r\ndn: a=1\r\nb: fol\r\n ded\r\n\r\n\r\n# c\r\ndn:: YT0y\r\nb: c\r\n\r\n"
        + b"dn: a=3\nb: c\rd\n\n"
    )

    assert list(read_ldif(Trickle(content, size))) == list(opened(content))


# What is rejected alone.


@pytest.mark.parametrize("lead", [GOOD, KNOWN])
@pytest.mark.parametrize(
    ("record", "line", "reason"),
    [
        (b"dn: a=1\nb: c\nphoto:: YW\n", 3, "the value is not base64"),
        (b"dn: a=1\nb: c\nphoto:: Y!Q=\n", 3, "the value is not base64"),
        (b"dn:: YW\nb: c\n", 1, "the value is not base64"),
        (b"dn: a=1\nb: fol\n ded\nno colon here\n", 4, "a line without a colon"),
        (b"dn: a=1\n-\n", 2, "a line without a colon"),
        (b"dn: a=1\nb\n", 2, "a line without a colon"),
        (b"dn: a=1\nb d: c\n", 2, "what stands before the colon is no attribute name"),
        (b"b: c\ndn: a=1\n", 1, "the entry does not begin with its dn"),
        (b" dn: a=1\nb: c\n", 1, "the entry does not begin with its dn"),
        (b"dn: a=\0\nb: c\n", 1, "the dn holds a NUL byte"),
        (b"dn:: YT0A\nb: c\n", 1, "the dn holds a NUL byte"),
        (b"dn: a=1\nb: c\ndn: a=2\nb: d\n", 3, "a second dn: an empty line is missing before it"),
    ],
)
def test_a_malformed_entry_is_rejected_alone_with_line_and_reason(
    lead: bytes, record: bytes, line: int, reason: str
) -> None:
    content = lead + record + b"\n" + GOOD

    read = list(opened(content))

    assert [type(entry) for entry in read] == [RawEntry, RejectedEntry, RawEntry]
    assert only_rejected(content)[:2] == (line + lead.count(b"\n"), reason)


def test_a_rejected_entry_keeps_what_could_be_read() -> None:
    rejected = only_rejected(b"dn: a=1\nuid: ada\nphoto:: !\nentryUUID: 7\n\n")

    assert rejected.dn == b"a=1"
    assert rejected.attributes == {"uid": [b"ada"], "entryuuid": [b"7"]}


def test_two_entries_without_an_empty_line_between_them_identify_nobody() -> None:
    rejected = only_rejected(b"dn: a=1\nentryUUID: 1\ndn: a=2\nentryUUID: 2\n\n")

    assert rejected.attributes == {}


def test_a_description_of_200_kb_is_carried() -> None:
    value = b"x" * 200_000
    folded = b"\n ".join(value[start : start + 76] for start in range(0, len(value), 76))

    (entry,) = entries(b"dn: a=1\ndescription: " + folded + b"\n\n")

    assert entry.attributes == {"description": [value]}


def test_a_value_over_the_limit_rejects_its_entry_alone() -> None:
    limits = LDIFLimits(value_bytes=50)

    rejected = only_rejected(GOOD + b"dn: a=1\nb: " + b"x" * 60 + b"\nuid: ada\n\n" + GOOD, limits=limits)

    assert rejected[:2] == (5, "the value is larger than 50 bytes")
    assert rejected.attributes == {"uid": [b"ada"]}


def test_a_large_value_that_nobody_asked_for_rejects_nothing() -> None:
    content = b"dn: a=1\nphoto: " + b"x" * 60 + b"\nuid: ada\n\n"

    (entry,) = opened(content, limits=LDIFLimits(value_bytes=50), wanted=frozenset({"uid"}))

    assert entry.attributes == {"uid": [b"ada"]}


def test_an_entry_with_too_many_values_is_rejected_alone() -> None:
    limits = LDIFLimits(value_bytes=30, values=5)

    rejected = only_rejected(GOOD + b"dn: a=1\n" + b"b: c\n" * 7 + b"\n" + GOOD, limits=limits)

    assert rejected[:2] == (10, "the entry has more than 5 values")


@pytest.mark.parametrize("size", [10, 64, 1 << 20])
def test_an_entry_over_the_limit_is_rejected_alone_and_the_lines_behind_it_keep_their_numbers(
    size: int,
) -> None:
    content = GOOD + b"dn: a=1\nuid: eve\n" + b"b: cccccccc\n" * 20 + b"\n" + GOOD

    read = list(read_ldif(Trickle(content, size), limits=LDIFLimits(entry_bytes=100, value_bytes=100)))

    assert [type(entry) for entry in read] == [RawEntry, RejectedEntry, RawEntry]
    assert isinstance(read[1], RejectedEntry)
    assert read[1][:2] == (4, "the entry is larger than 100 bytes")
    assert read[1].attributes["uid"] == [b"eve"]
    assert isinstance(read[2], RawEntry)
    assert read[2].number == 27


def test_a_file_that_ends_inside_an_entry_over_the_limit_is_cut_short() -> None:
    reading = read_ldif(Trickle(b"dn: a=1\n" + b"b: c\n" * 50, 16), limits=LDIFLimits(entry_bytes=100))

    assert [type(entry) for entry in reading] == [RejectedEntry]
    assert reading.truncation is not None


# What ends the reading.


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (GOOD + b"dn: a=1\nchangetype: add\nb: c\n\n", 5, "record of changes"),
        (GOOD + b"dn: a=1\nb: c\nChangeType: modify\n\n", 6, "record of changes"),
        (GOOD + b"dn: a=1\ncontrol: 1.2.840 true\nchangetype: delete\n\n", 5, "record of changes"),
        (GOOD + b"dn: a=1\nb: fol\n ded\nphoto:< file:///etc/passwd\n\n", 7, "URL"),
        (b"version: 2\n\n" + GOOD, 1, "version 1"),
        ("\ufeffdn: a=1\n\n".encode("utf-16-le"), 1, "UTF-16"),
        ("\ufeffdn: a=1\n\n".encode("utf-16-be"), 1, "UTF-16"),
    ],
)
def test_what_is_no_export_ends_the_reading_with_its_line_and_what_to_do(
    content: bytes, line: int, words: str
) -> None:
    with pytest.raises(LDIFError, match=words) as caught:
        list(opened(content))

    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: ")
    assert "export" in str(caught.value)


def test_a_url_is_refused_even_for_an_attribute_that_nobody_asked_for() -> None:
    with pytest.raises(LDIFError, match="line 2"):
        list(opened(b"dn: a=1\nphoto:< http://example.org/\n\n", wanted=frozenset({"uid"})))


def test_entries_before_the_fault_are_given() -> None:
    reading = iter(opened(GOOD + b"dn: a=1\nchangetype: add\n\n"))

    assert isinstance(next(reading), RawEntry)
    with pytest.raises(LDIFError):
        next(reading)


def test_a_file_over_the_limit_ends_the_reading() -> None:
    with pytest.raises(LDIFError, match="larger than 40 bytes"):
        list(opened(GOOD * 2, limits=LDIFLimits(file_bytes=40)))


# How the file ended.


def test_a_file_that_ends_after_a_full_record_is_not_cut_short() -> None:
    reading = opened(GOOD + b"# pagedresults: cookie=\n")

    assert len(list(reading)) == 1
    assert reading.truncation is None


@pytest.mark.parametrize(
    "ending",
    [
        b"dn: a=1",
        b"dn: a=1\nmail: ada@exam",
        b"dn: a=1\nphoto:: YW",
        b"dn: a=1\nb: c\nmai",
        b"d",
        b"dn: a=1\n b",
    ],
)
def test_a_file_cut_inside_a_line_rejects_that_entry_and_says_so(ending: bytes) -> None:
    reading = opened(GOOD + ending)

    read = list(reading)

    assert [type(entry) for entry in read] == [RawEntry, RejectedEntry]
    assert isinstance(read[1], RejectedEntry)
    assert not read[1].unterminated
    assert "the file ends inside this entry" in read[1].reason
    assert reading.truncation is not None
    assert "first part" in reading.truncation


def test_a_last_entry_without_an_empty_line_behind_it_is_not_taken_at_its_word() -> None:
    reading = opened(b"dn: a=1\nuid: ada\n")

    assert list(reading) == [
        RejectedEntry(
            1,
            "no empty line follows the last entry; add one if the export is whole",
            b"a=1",
            {"uid": [b"ada"]},
            True,
        )
    ]
    assert reading.truncation is None


def test_a_file_cut_between_two_pages_is_told_by_its_cookie() -> None:
    reading = opened(b"# pagedresults: cookie=AAE=\n\n" + GOOD)

    assert len(list(reading)) == 1
    assert reading.truncation is not None
    assert "paging cookie" in reading.truncation


def test_the_result_that_ldapsearch_writes_at_its_end_is_understood() -> None:
    trailer = b"# search result\nsearch: 2\nresult: %s\n\n# numResponses: 2\n# numEntries: 1\n"
    head = b"# extended LDIF\n#\n# LDAPv3\n#\n\n"

    good, limited, missing = (
        opened(head + GOOD + trailer % b"0 Success"),
        opened(head + GOOD + trailer % b"4 Size limit exceeded"),
        opened(head + GOOD),
    )

    assert [len(list(reading)) for reading in (good, limited, missing)] == [1, 1, 1]
    assert good.truncation is None
    assert limited.truncation is not None
    assert "'4 Size limit exceeded'" in limited.truncation
    assert missing.truncation is not None


def test_references_of_either_form_are_noted_and_never_followed() -> None:
    content = b"# refldap://dc.example.org/CN=Configuration,DC=x\n\n# search reference\nref: ldap://b.example.org/o=y\n\n"

    reading = opened(content + GOOD)

    assert len(list(reading)) == 1
    assert reading.references == [
        "refldap://dc.example.org/CN=Configuration,DC=x",
        "ldap://b.example.org/o=y",
    ]


def test_references_are_noted_up_to_a_hundred() -> None:
    reading = opened(b"# refldap://x/o=y\n\n" * 150)

    assert list(reading) == []
    assert len(reading.references) == 100


# Memory.


def test_reading_a_large_file_takes_the_memory_of_one_piece() -> None:
    stream = io.BytesIO(
        b"".join(b"dn: uid=u%d,o=x\ndescription: %s\n\n" % (n, b"x" * 400) for n in range(40_000))
    )
    tracemalloc.start()

    count = sum(1 for _ in read_ldif(stream))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40_000
    assert peak < 12 << 20


def test_an_entry_of_nothing_but_short_lines_takes_no_more_memory_than_it_must() -> None:
    stream = io.BytesIO(b"dn: a=1\n" + b"#\n" * (1 << 18) + b"b: c\n\n")
    tracemalloc.start()

    (entry,) = read_ldif(stream)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert entry.attributes == {"b": [b"c"]}
    assert peak < 8 << 20


# Round trips.

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}(;lang-[a-z]{2})?", fullmatch=True).filter(
    lambda name: name.lower() not in {"dn", "changetype", "control", "version", "search", "result", "ref"}
)
TEXTS = st.binary(max_size=60) | st.text(max_size=30).map(str.encode)
ENTRIES = st.tuples(
    TEXTS.filter(lambda dn: dn != b"" and b"\0" not in dn), st.lists(st.tuples(NAMES, TEXTS), max_size=6)
)


def rendered_line(name: str, value: bytes, *, width: int, coded: bool) -> bytes:
    """One line as a tool may write it: base64 where it must be, folded at `width`."""
    is_safe = value.isascii() and not {0, 10, 13} & set(value) and value[:1] not in (b" ", b":", b"<", b"")
    line = f"{name}: ".encode() + value if is_safe and not coded else f"{name}:: ".encode() + b64encode(value)
    return b"\n ".join(line[start : start + width] for start in range(0, len(line), width))


@given(
    st.lists(ENTRIES, max_size=5),
    st.integers(min_value=10, max_value=80),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n"]),
    st.integers(min_value=1, max_value=40),
    st.integers(min_value=1, max_value=3),
)
def test_whatever_is_written_is_read_back(
    written: list[tuple[bytes, list[tuple[str, bytes]]]],
    width: int,
    coded: bool,
    end: bytes,
    size: int,
    gap: int,
) -> None:
    lines = [
        b"\n".join(
            rendered_line(name, value, width=width, coded=coded) for name, value in [("dn", dn), *values]
        )
        for dn, values in written
    ]
    content = b"".join(line + b"\n" + b"\n" * gap for line in lines).replace(b"\n", end)
    expected: list[tuple[bytes, dict[str, list[bytes]]]] = []
    for dn, values in written:
        attributes: dict[str, list[bytes]] = {}
        for name, value in values:
            attributes.setdefault(name.lower(), []).append(value)
        expected.append((dn, attributes))

    read = list(read_ldif(Trickle(content, size)))

    assert [(entry.dn, entry.attributes) for entry in read] == expected


@example(b"dn: a\nchangetype: add\n\n")
@given(st.binary(max_size=200) | st.text("dn:<# \nab=;\0", max_size=200).map(str.encode))
def test_no_bytes_make_the_reader_fail_in_any_other_way(content: bytes) -> None:
    lines = content.count(b"\n") + 1
    try:
        found = [entry.number for entry in opened(content)]
    except LDIFError as err:
        found = [err.line]
    assert all(1 <= line <= lines for line in found)
