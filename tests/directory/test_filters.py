"""SCIM filters: what parses, where a fault is, and what a filter holds of."""

import string
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from directory.errors import FilterSyntaxError
from directory.filters import (
    MAX_DEPTH,
    MAX_LENGTH,
    And,
    Comparison,
    Filter,
    Not,
    Operator,
    Or,
    Present,
    ValuePath,
    attribute_names,
    matches,
    parse_filter,
    render_filter,
)

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

EMPLOYEE = Comparison("userType", Operator.EQ, "Employee")
TITLE = Present("title")

names = st.builds(
    "{}{}".format,
    st.sampled_from(string.ascii_letters + "$"),
    st.text(alphabet=string.ascii_letters + string.digits + "_-$", max_size=6),
).filter(lambda name: name.lower() != "not")
paths = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", f"{CORE}:", "urn:example:1.0:"]),
    names,
    st.one_of(st.just(""), names.map(".{}".format)),
)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
numbers = st.integers(-(10**20), 10**20) | st.floats(-(10.0**20), 10.0**20, allow_subnormal=False).map(
    lambda number: round(number, 6)
)
comparisons = st.one_of(
    st.builds(Comparison, paths, st.sampled_from(Operator), texts),
    st.builds(
        Comparison,
        paths,
        st.sampled_from([Operator.EQ, Operator.NE, Operator.GT, Operator.GE, Operator.LT, Operator.LE]),
        numbers,
    ),
    st.builds(
        Comparison, paths, st.sampled_from([Operator.EQ, Operator.NE]), st.sampled_from([True, False, None])
    ),
)


def nest(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)


flat_filters: st.SearchStrategy[Filter] = st.recursive(
    comparisons | st.builds(Present, paths), nest, max_leaves=8
)
filters: st.SearchStrategy[Filter] = st.recursive(
    flat_filters | st.builds(ValuePath, paths, flat_filters), nest, max_leaves=6
)


# Parsing


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('userName eq "bjensen"', Comparison("userName", Operator.EQ, "bjensen")),
        ('name.familyName co "O\'Malley"', Comparison("name.familyName", Operator.CO, "O'Malley")),
        (f'{CORE}:userName sw "J"', Comparison(f"{CORE}:userName", Operator.SW, "J")),
        (f'{ENTERPRISE}:manager.value eq "7"', Comparison(f"{ENTERPRISE}:manager.value", Operator.EQ, "7")),
        ("title pr", TITLE),
        (
            'meta.lastModified gt "2011-05-13T04:42:34Z"',
            Comparison("meta.lastModified", Operator.GT, "2011-05-13T04:42:34Z"),
        ),
        ('title pr and userType eq "Employee"', And((TITLE, EMPLOYEE))),
        ('title pr or userType eq "Employee"', Or((TITLE, EMPLOYEE))),
        (
            'userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")',
            And(
                (
                    EMPLOYEE,
                    Or(
                        (
                            Comparison("emails", Operator.CO, "example.com"),
                            Comparison("emails.value", Operator.CO, "example.org"),
                        )
                    ),
                )
            ),
        ),
        (
            'userType ne "Employee" and not (title pr)',
            And((Comparison("userType", Operator.NE, "Employee"), Not(TITLE))),
        ),
        (
            'userType eq "Employee" and emails[type eq "work" and value co "@example.com"]',
            And(
                (
                    EMPLOYEE,
                    ValuePath(
                        "emails",
                        And(
                            (
                                Comparison("type", Operator.EQ, "work"),
                                Comparison("value", Operator.CO, "@example.com"),
                            )
                        ),
                    ),
                )
            ),
        ),
    ],
)
def test_parse_reads_the_examples_of_the_standard(text: str, tree: Filter) -> None:
    # RFC 7644 section 3.4.2.2, Figure 2
    assert parse_filter(text) == tree


def test_and_binds_tighter_than_or() -> None:
    a, b, c = Present("a"), Present("b"), Present("c")

    assert parse_filter("a pr or b pr and c pr") == Or((a, And((b, c))))
    assert parse_filter("a pr and b pr or c pr") == Or((And((a, b)), c))
    assert parse_filter("(a pr or b pr) and c pr") == And((Or((a, b)), c))


def test_keywords_and_operators_are_read_in_any_case() -> None:
    assert parse_filter('NOT(a PR) And b EQ "x" OR c Ge 1') == parse_filter(
        'not (a pr) and b eq "x" or c ge 1'
    )


def test_space_may_be_of_any_width() -> None:
    assert parse_filter(' \ta  pr\r\nand(b\teq "x y") ') == parse_filter('a pr and b eq "x y"')


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"a\\"b\\\\\\u00e9\\n"', 'a"b\\é\n'),
        ('""', ""),
        ('"and or not ( ] eq"', "and or not ( ] eq"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("0", 0),
        ("-12", -12),
        ("1.50", 1.5),
        ("2e3", 2000.0),
    ],
)
def test_parse_reads_every_kind_of_value(literal: str, value: str | float | bool | None) -> None:
    tree = parse_filter(f"a eq {literal}")

    assert tree == Comparison("a", Operator.EQ, value)
    assert isinstance(tree, Comparison)
    assert type(tree.value) is type(value)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "expected an attribute"),
        ("   ", 3, "expected an attribute"),
        ("a", 1, "expected an operator after 'a'"),
        ("a is 1", 2, "expected an operator after 'a'"),
        ("a eq", 4, "expected a value"),
        ("a eq (", 5, "expected a value"),
        ('a eq "open', 5, "without its closing quote"),
        ('"text" eq 1', 0, "expected an attribute"),
        ('a eq "tab\there"', 5, "without its closing quote"),
        ('a eq "\\x"', 5, "not a JSON string"),
        ('a eq "\\ud800"', 5, "not a JSON string"),
        ('a eq "\\u0000"', 5, "NUL"),
        ("a eq plain", 5, "'plain' is not a value"),
        ("a eq True", 5, "'True' is not a value"),
        ("a eq 01", 5, "'01' is not a value"),
        ("a eq 1e999", 5, "'1e999' is not a value"),
        (f"a eq {'9' * 50}", 5, "...' is not a value"),
        ("a co 5", 5, "co needs a text"),
        ("a sw true", 5, "sw needs a text"),
        ("a ew null", 5, "ew needs a text"),
        ("a gt true", 5, "gt needs a text or a number"),
        ("a le null", 5, "le needs a text or a number"),
        ("a pr b pr", 5, "expected the end"),
        ("a pr and", 8, "expected an attribute"),
        ("a pr)", 4, "expected the end"),
        ("(a pr", 5, "expected ')'"),
        ("(a pr]", 5, "expected ')'"),
        ("a[b pr", 6, "expected ']'"),
        ("a[b[c pr]]", 3, "brackets inside brackets"),
        ("a[(b[c pr])]", 4, "brackets inside brackets"),
        ('a[b eq "x"] c pr', 12, "expected the end"),
        ('a[b eq "x"].c', 13, "expected an operator after 'c'"),
        ('a[b eq "x"].c.d pr', 11, "'.c.d' is not a sub-attribute"),
        ('a[b eq "x"]. pr', 11, "'.' is not a sub-attribute"),
        (".b pr", 0, "'.b' is not an attribute path"),
        ("not a pr", 4, "'not' needs a filter in parentheses"),
        ("1a pr", 0, "'1a' is not an attribute path"),
        ("a.b.c pr", 0, "is not an attribute path"),
        ("a. pr", 0, "is not an attribute path"),
        ("urn:x:2.0 pr", 0, "is not an attribute path"),
        ("ä pr", 0, "is not an attribute path"),
        ("; pr", 0, "is not an attribute path"),
    ],
)
def test_a_fault_is_named_with_its_position(text: str, position: int, message: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)

    assert caught.value.position == position
    assert message in str(caught.value)


def test_too_many_comparisons_are_refused_where_they_begin() -> None:
    parse_filter("a pr and b pr or c pr", max_terms=3)

    with pytest.raises(FilterSyntaxError, match="more than 2 comparisons") as caught:
        parse_filter("a pr and b pr or c pr", max_terms=2)

    assert caught.value.position == 17


def test_a_sub_attribute_behind_brackets_is_one_more_term_of_the_same_element() -> None:
    work, value = Comparison("type", Operator.EQ, "work"), Comparison("value", Operator.SW, "a")

    assert parse_filter('emails[type eq "work"].value sw "a"') == ValuePath("emails", And((work, value)))
    assert parse_filter('not (emails[type eq "work" and display pr].value sw "a") or title pr') == Or(
        (Not(ValuePath("emails", And((work, Present("display"), value)))), TITLE)
    )
    assert parse_filter('emails[type eq "work" or display pr].value pr') == ValuePath(
        "emails", And((Or((work, Present("display"))), Present("value")))
    )


def test_a_sub_attribute_behind_brackets_counts_as_a_comparison() -> None:
    parse_filter("a[b pr].c pr", max_terms=2)

    with pytest.raises(FilterSyntaxError, match="more than 1 comparisons at position 7"):
        parse_filter("a[b pr].c pr", max_terms=1)


def test_a_front_end_sets_its_own_limits() -> None:
    with pytest.raises(FilterSyntaxError, match="longer than 8 characters at position 8"):
        parse_filter("title  pr", max_length=8)
    with pytest.raises(FilterSyntaxError, match="more than 2 nested brackets at position 2"):
        parse_filter("(((a pr)))", max_depth=2)


def test_ten_thousand_terms_are_refused_where_they_are_too_many() -> None:
    text = " or ".join(["title pr"] * 10_000)

    with pytest.raises(FilterSyntaxError, match="more than 100 comparisons") as caught:
        parse_filter(text, max_terms=100, max_length=len(text))

    assert caught.value.position == 100 * len("title pr or ")
    assert isinstance(parse_filter(text, max_terms=10_000, max_length=len(text)), Or)


def test_deep_brackets_are_refused() -> None:
    def wrap(depth: int) -> str:
        return "not (" * depth + "a pr" + ")" * depth

    parse_filter(wrap(MAX_DEPTH))

    with pytest.raises(FilterSyntaxError, match="nested brackets"):
        parse_filter(wrap(MAX_DEPTH + 1))


def test_brackets_side_by_side_are_not_deep() -> None:
    parse_filter(" and ".join(["(a pr)"] * (MAX_DEPTH + 1)))


def test_a_long_filter_is_refused_before_it_is_read() -> None:
    with pytest.raises(FilterSyntaxError, match="longer than"):
        parse_filter("(" * (MAX_LENGTH + 1))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ['a eq "' + "\\" * (MAX_LENGTH - 6), "urn:" + ":" * (MAX_LENGTH - 4), "(" * MAX_LENGTH]
)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(FilterSyntaxError):
        parse_filter(text)


def fault_position(text: str) -> int | None:
    try:
        parse_filter(text)
    except FilterSyntaxError as error:
        return error.position
    return None


@given(
    st.lists(
        st.sampled_from(["a", "b.c", "eq", "pr", "and", "or", "not", "(", ")", "[", "]", '"x"', '"', "1"])
    )
)
def test_any_words_parse_or_have_a_fault_inside_the_text(words: list[str]) -> None:
    text = " ".join(words)

    assert fault_position(text) in {None, *range(len(text) + 1)}


@given(st.text(max_size=40))
@example("a pr")
def test_any_text_parses_or_has_a_fault_inside_the_text(text: str) -> None:
    assert fault_position(text) in {None, *range(len(text) + 1)}


# Rendering


@given(filters)
def test_a_rendered_filter_parses_to_the_same_tree(tree: Filter) -> None:
    assert parse_filter(render_filter(tree)) == tree


@pytest.mark.parametrize(
    "text",
    [
        "a pr or b pr and c pr",
        "(a pr or b pr) and c pr",
        "not (a pr or b pr)",
        'emails[type eq "work" and primary eq true]',
        'a eq "é\\"" or b ge -1.5 or c eq null',
    ],
)
def test_render_gives_the_plain_form(text: str) -> None:
    assert render_filter(parse_filter(text)) == text


# Values that an operator cannot take


@pytest.mark.parametrize(("operator", "value"), [(Operator.CO, 1), (Operator.SW, None), (Operator.GT, True)])
def test_a_comparison_that_means_nothing_cannot_be_made(operator: Operator, value: int | None) -> None:
    with pytest.raises(ValueError, match="needs a text"):
        Comparison("a", operator, value)


# Evaluating

ANA: Mapping[str, tuple[str, ...]] = {
    "userName": ("Ana@Example.org",),
    "displayName": ("Ana Straße",),
    "active": ("true",),
    "title": ("",),
    "department": ("Housekeeping", "Night"),
    "employeeNumber": ("0042",),
    "grade": ("7",),
    "hired": ("2026-01-01T00:00:00.5Z",),
    "emails.value": ("ana@example.org", "ana@home.example"),
    "emails.type": ("work", "home"),
    "emails.primary": ("true", "false"),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('userName eq "ana@example.ORG"', True),
        ('USERNAME eq "ana@example.org"', True),
        ('userName eq "ana"', False),
        ('userName ne "bob"', True),
        ('userName ne "ANA@example.org"', False),
        ('userName sw "ana@"', True),
        ('userName sw "@"', False),
        ('userName ew ".ORG"', True),
        ('userName ew "ana"', False),
        ('userName co "EXAMPLE"', True),
        ('userName co "nobody"', False),
        ('displayName eq "ANA STRASSE"', True),
        ('displayName gt "ana"', True),
        ('displayName lt "ana"', False),
        ('displayName ge "Ana Strasse"', True),
        ('displayName le "Ana Strasse"', True),
        ("active eq true", True),
        ("active eq false", False),
        ("active ne false", True),
        ('active eq "True"', True),
        ("userName pr", True),
        ("title pr", False),
        ("nickName pr", False),
        ("not (nickName pr)", True),
        ('department eq "night"', True),
        ('department ne "night"', True),
        ('department eq "Day"', False),
        ("grade eq 7", True),
        ("grade eq 7.0", True),
        ("grade ne 7", False),
        ("grade gt 6.5", True),
        ("grade ge 7", True),
        ("grade lt 10", True),
        ("grade le 6", False),
        ('grade lt "10"', False),
        ("employeeNumber eq 42", False),
        ("userName ne 7", False),
        ('hired gt "2026-01-01T00:00:00Z"', True),
        ('hired lt "2026-01-01T01:00:00+01:00"', False),
        ('hired le "2026-01-01T02:00:00+01:00"', True),
        ('hired lt "2026-13-01T00:00:00Z"', True),
        ('userName gt "2026-01-01T00:00:00Z"', False),
        ('userName eq "ana@example.org" and grade eq 7', True),
        ('userName eq "ana@example.org" and grade eq 8', False),
        ("grade eq 8 or active eq true", True),
        ("grade eq 8 or active eq false", False),
        ('emails co "home.example"', True),
        ('emails.value co "home.example"', True),
        (f'{CORE}:userName eq "ana@example.org"', True),
        (f'{CORE}:emails co "home.example"', True),
        (f'{ENTERPRISE.upper()}:department eq "night"', True),
        ('urn:example:1.0:department eq "night"', False),
    ],
)
def test_matches_compares_as_the_schema_would(text: str, expected: bool) -> None:
    assert matches(parse_filter(text), ANA) is expected


@pytest.mark.parametrize("operator", Operator)
def test_no_comparison_with_a_text_holds_of_an_absent_attribute(operator: Operator) -> None:
    assert not matches(Comparison("nickName", operator, "x"), ANA)
    assert not matches(Comparison("title", operator, ""), ANA)


def test_null_stands_for_an_absent_attribute() -> None:
    assert matches(parse_filter("nickName eq null and title eq null"), ANA)
    assert matches(parse_filter("userName ne null"), ANA)
    assert not matches(parse_filter("userName eq null or nickName ne null"), ANA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('emails[type eq "work" and value ew "example.org"]', True),
        ('emails[type eq "home" and value ew "example.org"]', False),
        ('emails[type eq "home" and not (primary eq true)]', True),
        ('emails[type eq "home" and primary eq true]', False),
        ('emails[type eq "work" and display pr]', False),
        ('emails[type eq "work" and not (display pr)]', True),
        ('emails[type eq "other"]', False),
        (f'{CORE}:emails[type eq "work"]', True),
        ("phoneNumbers[not (value pr)]", False),
    ],
)
def test_a_value_path_asks_one_element_at_a_time(text: str, expected: bool) -> None:
    assert matches(parse_filter(text), ANA) is expected


def test_a_value_path_over_uneven_columns_does_not_hold() -> None:
    uneven = {"emails.type": ("work",), "emails.value": ("a@example.org", "b@example.org")}

    assert not matches(parse_filter('emails[type eq "work" and value pr]'), uneven)
    assert matches(parse_filter('emails[type eq "work"]'), uneven)


@given(
    tree=flat_filters,
    other=flat_filters,
    attributes=st.dictionaries(paths, st.lists(texts, max_size=3).map(tuple)),
)
def test_logic_is_that_of_its_parts(
    tree: Filter, other: Filter, attributes: dict[str, tuple[str, ...]]
) -> None:
    one, two = matches(tree, attributes), matches(other, attributes)

    assert matches(Not(tree), attributes) is not one
    assert matches(And((tree, other)), attributes) is (one and two)
    assert matches(Or((tree, other)), attributes) is (one or two)


# Names


def test_attribute_names_are_the_paths_as_written() -> None:
    tree = parse_filter(f'{CORE}:userName eq "x" and (emails[type eq "work" and Value pr] or not (Title pr))')

    assert attribute_names(tree) == {f"{CORE}:userName", "emails.type", "emails.Value", "Title"}
