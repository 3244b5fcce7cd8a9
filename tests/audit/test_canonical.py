import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import MAX_DEPTH, MAX_INTEGER, canonicalise, check_model, render_canonical
from audit.errors import OutsideModelError
from audit.events import Outcome

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-MAX_INTEGER, max_value=MAX_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
keys = st.text(st.characters(max_codepoint=127))
models = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=30)


@given(models)
def test_the_canonical_form_is_that_of_rfc_8785(value: object) -> None:
    assert canonicalise(value) == rfc8785.dumps(value)  # type: ignore[arg-type] # the strategy's type is object


def test_keys_are_sorted_and_text_stands_as_it_came() -> None:
    assert canonicalise({"b": "e\u0301\u2028", "a": ("\x1f", None, True)}) == (
        b'{"a":["\\u001f",null,true],"b":"' + "e\u0301\u2028".encode() + b'"}'
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (1.5, "$"),
        ({"a": [1, float("nan")]}, "$.a[1]"),
        ({"a": {"b": MAX_INTEGER + 1}}, "$.a.b"),
        (-MAX_INTEGER - 1, "$"),
        ({"é": 1}, "$"),
        ({1: 1}, "$"),
        (["\ud800"], "$[0]"),
        (Outcome.DENIED, "$"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {1, 2}}, "$.a"),
    ],
)
def test_a_value_outside_the_model_is_refused_by_its_place(value: object, path: str) -> None:
    with pytest.raises(OutsideModelError) as refused:
        check_model(value)

    assert refused.value.path == path
    assert refused.value.code == "outside_model"


def test_a_value_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    deep: object = 0
    for _ in range(MAX_DEPTH):
        deep = [deep]

    check_model(deep)

    with pytest.raises(OutsideModelError, match="levels"):
        check_model([deep])


@pytest.mark.parametrize("value", [MAX_INTEGER + 1, "\udfff", {1: 1}, object()])
def test_the_hot_path_refuses_what_the_serialiser_notices(value: object) -> None:
    with pytest.raises(OutsideModelError):
        render_canonical(value)
