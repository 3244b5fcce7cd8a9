"""Every id of the house is a type of its own over text."""

from typing import NewType

from directory import ids


def test_every_id_is_text_under_its_own_name() -> None:
    found = {name: value for name, value in vars(ids).items() if isinstance(value, NewType)}

    assert {name for name in vars(ids) if name.endswith("Id") and name != "NewId"} == set(found)
    assert all(value.__supertype__ is str and value.__name__ == name for name, value in found.items())
