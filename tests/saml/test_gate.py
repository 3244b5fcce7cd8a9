import base64
import string

import pytest

from saml import names
from saml.errors import Denial, LoginDenied
from saml.gate import LIMITS, MAX_FIELD, Limits, decode_field, read_document

# As dear as the design lets anything be: of a login that nobody may make longer.
SPACES = " ".join(f'xmlns:n{number}="urn:{number}"' for number in range(5))


def refused(data: bytes, limits: Limits = LIMITS, *, around: dict[str | None, str] | None = None) -> Denial:
    with pytest.raises(LoginDenied) as denied:
        read_document(data, limits, around=around)
    return denied.value.reason


def test_field_skips_whitespace_and_nothing_else() -> None:
    value = base64.b64encode(b"<r/>").decode()

    assert decode_field(f" {value[:3]}\r\n{value[3:]}\t") == b"<r/>"
    with pytest.raises(LoginDenied) as denied:
        decode_field(f"{value[:3]}\x0b{value[3:]}")
    assert denied.value.reason == Denial.MALFORMED


def test_field_above_the_cap_is_not_even_decoded() -> None:
    with pytest.raises(LoginDenied) as denied:
        decode_field("*" * (MAX_FIELD + 1))

    assert denied.value.reason == Denial.TOO_LARGE


def test_document_of_more_octets_than_the_limit_is_too_large() -> None:
    assert refused(b"<r>xxxx</r>", Limits(octets=10)) == Denial.TOO_LARGE


def test_document_is_refused_at_the_first_element_too_many() -> None:
    limits = Limits(elements=3)

    assert read_document(b"<r><a/><a/></r>", limits).root.tag == "r"
    assert refused(b"<r><a/><a/><a/></r>", limits) == Denial.XML_REFUSED


def test_document_is_refused_before_parsing_when_its_tags_are_too_many() -> None:
    assert refused(b"<" * 9 + b"r", Limits(elements=4)) == Denial.XML_REFUSED


def test_document_is_refused_one_level_too_deep() -> None:
    limits = Limits(depth=2)

    assert read_document(b"<r><a/></r>", limits).root.tag == "r"
    assert refused(b"<r><a><a/></a></r>", limits) == Denial.XML_REFUSED


def test_attributes_are_counted_for_one_element_and_for_all() -> None:
    few = "".join(f' {letter}=""' for letter in string.ascii_lowercase[:16])

    assert read_document(f"<r{few}/>".encode()).root.tag == "r"
    assert refused(f'<r{few} q1=""/>'.encode()) == Denial.XML_REFUSED
    assert refused(f"<r>{f'<a{few}/>' * 2}</r>".encode(), Limits(all_attributes=20)) == Denial.XML_REFUSED


def test_four_namespaces_an_element_are_free_and_more_are_few() -> None:
    tag = f"<a {SPACES}/>"

    assert read_document(f"<r>{tag * 32}</r>".encode()).root.tag == "r"
    assert refused(f"<r>{tag * 33}</r>".encode()) == Denial.XML_REFUSED


def test_elements_that_decide_are_found_wherever_they_stand() -> None:
    read = read_document(f'<r><x><a:Assertion xmlns:a="{names.SAML}"/></x></r>'.encode())

    assert [element.tag for element in read.all(names.ASSERTION)] == [names.ASSERTION]
    assert read.all(names.SIGNATURE) == []


@pytest.mark.parametrize(
    "text", ['<r xml:id="a"/>', '<r xmlns:q="urn:q" q:Id="a"/>', '<r ID="a"><s Id="a"/></r>']
)
def test_id_that_a_library_could_take_for_another_is_refused(text: str) -> None:
    assert refused(text.encode()) == Denial.XML_REFUSED


@pytest.mark.parametrize("value", ["", "1", "a b", "a" * 257, "ä"])
def test_id_is_a_plain_name(value: str) -> None:
    assert refused(f'<r ID="{value}"/>'.encode()) == Denial.XML_REFUSED


def test_decrypted_element_is_read_among_the_namespaces_around_it() -> None:
    around: dict[str | None, str] = {"a": names.SAML, "xml": names.XML, None: "urn:default"}

    read = read_document(b" <a:Assertion><b/></a:Assertion>\n", around=around)

    assert read.root.tag == names.ASSERTION
    assert read.root[0].tag == "{urn:default}b"


@pytest.mark.parametrize(
    "octets",
    [
        b"<a/><a/>",
        b"x<a/>",
        b"<a/>x",
        b"",
        b"x",
        b"</around><around>",
        b"<a/></around><around><a/>",
        b"<?xml?><a/>",
    ],
)
def test_ciphertext_that_holds_something_else_than_one_element_is_refused(octets: bytes) -> None:
    assert refused(octets, around={}) == Denial.XML_REFUSED
