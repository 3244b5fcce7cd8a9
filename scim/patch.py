"""PATCH as it is applied: operations into the new state of a user, or into steps on a group.

Nothing is applied here that could be half applied: a fault raises, and the state given is never touched.
Source: RFC 7644 section 3.5.2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from directory.filters import And, Comparison, Filter, Operator, Or
from directory.schema import Attribute, Kind, Mutability, entries_of
from scim.bodies import check_group_name, read_member_ids
from scim.errors import InvalidPathError, InvalidValueError, MutabilityError, NoTargetError, SCIMError
from scim.members import AddIds, ClearAll, MemberStep, RemoveIds, RemoveMatching, ReplaceIds
from scim.operations import Op, Operation, name_operation
from scim.paths import PatchPath, compile_entry_filter
from scim.profiles import Leniency, Profile
from scim.values import (
    MAX_ENTRIES,
    Entry,
    Reading,
    entry_key,
    includes,
    is_same_value,
    read_attribute,
    read_boolean,
    read_entries,
)


@dataclass(frozen=True, slots=True)
class GroupPatch:
    """What a PATCH says of a group. None: unsaid; a `client_id` of "" is taken away."""

    display_name: str | None
    client_id: str | None
    steps: tuple[MemberStep, ...]


def patch_user(
    current: Mapping[str, object],
    operations: Sequence[Operation],
    profile: Profile,
    notes: set[Leniency],
    *,
    shown: Mapping[str, object],
) -> dict[str, object]:
    """Work out what the user is after all operations; `current` stays as it is.

    `current` is what the client said, with `active`; `shown` is the whole resource as the client sees it. A read-only
    attribute may be said as it is shown (Okta repeats `id`). A complex attribute that is replaced keeps the
    sub-attributes that are not said (RFC 7644 section 3.5.2.3); a `$ref` goes when the value beside it changes.
    """
    reading = Reading(profile, notes)
    document = dict(current)
    for operation in operations:
        try:
            _apply(document, operation, reading, shown)
        except SCIMError as error:
            raise name_operation(error, operation.index) from error
    return document


def _apply(
    document: dict[str, object], operation: Operation, reading: Reading, whole: Mapping[str, object]
) -> None:
    path = operation.path.path
    attribute = path.attribute
    leaf = operation.path.sub or attribute
    if attribute.mutability is Mutability.WRITE_ONLY:
        return
    if Mutability.READ_ONLY in (attribute.mutability, leaf.mutability):
        _check_unchanged(operation, whole, reading)
        return
    container = document
    if path.urn:
        extension = document.get(path.urn)
        container = dict(extension) if isinstance(extension, Mapping) else {}
    changed = _change(container.get(attribute.name), operation, reading)
    _check_required(attribute, changed, operation)
    if changed is not None:
        container[attribute.name] = changed
    elif attribute.name != "active":
        container.pop(attribute.name, None)
    if path.urn and container:
        document[path.urn] = container
    elif path.urn:
        document.pop(path.urn, None)


def _check_required(attribute: Attribute, changed: object, operation: Operation) -> None:
    """Source: RFC 7644 section 3.5.2.2: a required attribute must not be removed."""
    if attribute.name == "userName" and not (isinstance(changed, str) and changed.strip()):
        raise InvalidValueError("userName is required and must not be empty")
    if attribute.name == "active" and operation.op is Op.REMOVE:
        raise InvalidValueError("active cannot be removed; replace it by false")


def _check_unchanged(operation: Operation, whole: Mapping[str, object], reading: Reading) -> None:
    """Raises MutabilityError unless the operation says what is so already."""
    path = operation.path
    container: object = whole.get(path.path.urn) if path.path.urn else whole
    present = container.get(path.path.attribute.name) if isinstance(container, Mapping) else None
    attribute = path.path.attribute
    if path.sub is not None and isinstance(present, Mapping):
        present = present.get(path.sub.name)
        attribute = path.sub
    elif path.sub is not None:
        attribute = path.sub
    is_absent = present is None or present == []
    if operation.op is Op.REMOVE:
        is_passed = is_absent
    elif operation.value is None or operation.value == []:
        reading.allow(Leniency.NULL_IS_ABSENT)
        is_passed = True
    else:
        is_passed = path.filter is None and is_same_value(
            attribute, present, operation.value, whole=operation.op is Op.REPLACE
        )
    if not is_passed:
        raise MutabilityError(f"{path.text} is read-only")


def _change(old: object, operation: Operation, reading: Reading) -> object | None:
    """The attribute's value after the operation; None when it has none."""
    path = operation.path
    attribute = path.path.attribute
    if attribute.is_multi_valued:
        return _change_entries(attribute, entries_of(old), operation, reading) or None
    if path.sub is None:
        return _change_value(attribute, old, operation, reading, path.path.urn)
    container = dict(old) if isinstance(old, Mapping) else {}
    new = _change_value(path.sub, container.get(path.sub.name), operation, reading, f"{attribute.name}.")
    _put(container, path.sub, new)
    return container or None


def _change_value(
    attribute: Attribute, old: object, operation: Operation, reading: Reading, where: str
) -> object | None:
    if operation.op is Op.REMOVE:
        return None
    prefix = f"{where}:" if where.startswith("urn:") else where
    new = read_attribute(attribute, operation.value, reading, where=prefix, keep_null=True)
    if new is None:
        # Nothing to add; or nothing in place of what there was. An empty object replaces none of its parts.
        keeps = operation.op is Op.ADD or isinstance(operation.value, dict)
        return old if keeps else None
    if isinstance(new, dict):
        return merge(attribute, old if isinstance(old, Mapping) else {}, new) or None
    return new


def merge(attribute: Attribute, old: Mapping[str, object], new: Mapping[str, object]) -> Entry:
    """A complex value with the sub-attributes of `new` in place of its own; those that are null there are gone."""
    merged = dict(old)
    for sub in attribute.sub_attributes:
        if sub.name in new:
            value = new[sub.name]
            if isinstance(value, Mapping):
                before = old.get(sub.name)
                value = merge(sub, before if isinstance(before, Mapping) else {}, value) or None
            _put(merged, sub, value)
    if "$ref" not in new and "value" in new and new["value"] != old.get("value"):
        merged.pop("$ref", None)
    return merged


def _put(container: Entry, attribute: Attribute, value: object) -> None:
    if value is None:
        container.pop(attribute.name, None)
        if attribute.name == "value":
            container.pop("$ref", None)
        return
    if attribute.name == "value" and container.get("value") != value:
        container.pop("$ref", None)
    container[attribute.name] = value


def _change_entries(
    attribute: Attribute, old: Sequence[Mapping[str, object]], operation: Operation, reading: Reading
) -> list[Entry]:
    path = operation.path
    entries = [dict(entry) for entry in old]
    if path.filter is None and path.sub is None:
        changed = _change_all(attribute, entries, operation, reading)
    elif operation.op is Op.REMOVE:
        changed = _remove_chosen(attribute, entries, operation)
    else:
        changed = _change_chosen(attribute, entries, operation, reading)
    if len(changed) > MAX_ENTRIES:
        raise InvalidValueError(f"{attribute.name} would have more than {MAX_ENTRIES} entries")
    return changed


def _change_all(
    attribute: Attribute, entries: list[Entry], operation: Operation, reading: Reading
) -> list[Entry]:
    value = operation.value
    if value is None:
        if operation.op is not Op.REMOVE:
            reading.allow(Leniency.NULL_IS_ABSENT)
        return entries if operation.op is Op.ADD else []
    if operation.op is Op.REMOVE:
        _check_remove_by_value(attribute, reading)
    said = read_entries(attribute, value, reading, single_entry=True)
    match operation.op:
        case Op.ADD:
            return _add_entries(attribute, entries, said)
        case Op.REMOVE:
            return [entry for entry in entries if not any(includes(attribute, entry, part) for part in said)]
        case Op.REPLACE:
            return said
        case _:
            assert_never(operation.op)


def _check_remove_by_value(attribute: Attribute, reading: Reading) -> None:
    if not reading.allow(Leniency.REMOVE_BY_VALUE):
        raise InvalidValueError(
            f'remove takes no value; choose entries by a filter in the path: {attribute.name}[value eq "..."]'
        )


def _add_entries(attribute: Attribute, entries: list[Entry], said: list[Entry]) -> list[Entry]:
    """Append what is not there yet; what is, can become the primary one."""
    known = {entry_key(attribute, entry): entry for entry in reversed(entries)}
    primary = None
    for entry in said:
        present = known.setdefault(entry_key(attribute, entry), entry)
        if present is entry:
            entries.append(entry)
        if entry.get("primary") is True:
            primary = present
    if primary is not None:
        _make_primary(entries, primary)
    return entries


def _make_primary(entries: list[Entry], primary: Entry) -> None:
    """Source: RFC 7644 section 3.5.2: the value of another entry's `primary` becomes false."""
    for entry in entries:
        if entry is primary:
            entry["primary"] = True
        elif entry.get("primary") is True:
            entry["primary"] = False


def _chosen(attribute: Attribute, entries: list[Entry], path: PatchPath) -> list[Entry]:
    if path.filter is None:
        return list(entries)
    test = compile_entry_filter(path.filter, attribute)
    return [entry for entry in entries if test(entry)]


def _remove_chosen(attribute: Attribute, entries: list[Entry], operation: Operation) -> list[Entry]:
    """Entries go whole, or lose a sub-attribute. One that keeps no more than its label goes with it."""
    path = operation.path
    chosen = {id(entry) for entry in _chosen(attribute, entries, path)}
    if path.sub is None:
        return [entry for entry in entries if id(entry) not in chosen]
    for entry in entries:
        if id(entry) in chosen and path.sub.name in entry:
            del entry[path.sub.name]
            if entry.keys() <= {"type", "primary"}:
                entry.clear()
    return [entry for entry in entries if entry]


def _change_chosen(
    attribute: Attribute, entries: list[Entry], operation: Operation, reading: Reading
) -> list[Entry]:
    path = operation.path
    if path.sub is None and operation.value in (None, []):
        reading.allow(Leniency.NULL_IS_ABSENT)
        return entries if operation.op is Op.ADD else _remove_chosen(attribute, entries, operation)
    new = _read_part(attribute, operation, reading)
    if new is None:
        return entries
    chosen = _chosen(attribute, entries, path)
    if path.filter is None and len(chosen) > 1:
        raise InvalidPathError(f"{path.text} names {len(chosen)} entries; choose by a filter in brackets")
    if not chosen:
        created = _create_entry(attribute, path, new, reading)
        if created is None:
            return entries
        entries.append(created)
        chosen = [created]
    else:
        for entry in chosen:
            merged = merge(attribute, entry, new)
            entry.clear()
            entry.update(merged)
    if new.get("primary") is True or (len(chosen) == 1 and chosen[0].get("primary") is True):
        if len(chosen) > 1:
            raise InvalidValueError(f"{path.text} names {len(chosen)} entries; one at most may be primary")
        _make_primary(entries, chosen[0])
    return [entry for entry in entries if entry]


def _read_part(attribute: Attribute, operation: Operation, reading: Reading) -> Entry | None:
    """What chosen entries get, as sub-attributes; None for nothing."""
    sub = operation.path.sub
    value = operation.value
    if sub is not None:
        read = read_attribute(sub, value, reading, where=f"{attribute.name}.")
        if read is None and operation.op is Op.ADD:
            return None
        return {sub.name: read}
    if type(value) is list and len(value) == 1:
        value = value[0]
    entry = Attribute(attribute.name, Kind.COMPLEX, sub_attributes=attribute.sub_attributes)
    read = read_attribute(entry, value, reading, keep_null=True)
    return read if isinstance(read, dict) else None


def _create_entry(attribute: Attribute, path: PatchPath, new: Entry, reading: Reading) -> Entry | None:
    """The entry that a filter without match describes, with what it was to get; None when that is nothing.

    Source: RFC 7644 section 3.5.2.3 demands `noTarget`; Microsoft Entra counts on the entry.
    """
    said = {name: value for name, value in new.items() if value is not None}
    if path.filter is None:
        return said or None
    terms = _equal_terms(path.filter, attribute)
    if terms is None or not reading.profile.allows(Leniency.CREATE_UNMATCHED_ENTRY):
        raise NoTargetError(f"{path.text} matches no entry")
    if not said:
        return None
    created = {**terms, **said}
    if not compile_entry_filter(path.filter, attribute)(created):
        raise NoTargetError(f"{path.text} matches no entry, and the value is none that it would match")
    reading.allow(Leniency.CREATE_UNMATCHED_ENTRY)
    return created


def _equal_terms(tree: Filter, attribute: Attribute) -> Entry | None:
    """The sub-attributes that a conjunction of `eq` demands; None for any other filter."""
    if isinstance(tree, And):
        found: Entry = {}
        for term in tree.terms:
            inner = _equal_terms(term, attribute)
            if inner is None:
                return None
            found.update(inner)
        return found
    if (
        isinstance(tree, Comparison)
        and tree.operator is Operator.EQ
        and tree.value is not None
        and (sub := attribute.sub_attribute(tree.path)) is not None
    ):
        return {sub.name: read_boolean(tree.value) if sub.kind is Kind.BOOLEAN else tree.value}
    return None


def patch_group(
    operations: Sequence[Operation],
    profile: Profile,
    notes: set[Leniency],
    *,
    shown: Mapping[str, object],
) -> GroupPatch:
    """Work out what operations say of a group. Its members need not be known; `shown` may be without them."""
    reading = Reading(profile, notes)
    said: dict[str, str] = {}
    steps: list[MemberStep] = []
    for operation in operations:
        try:
            if operation.path.path.attribute.name == "members":
                steps.extend(_member_steps(operation, reading))
            else:
                _say_of_group(said, operation, reading, shown)
        except SCIMError as error:
            raise name_operation(error, operation.index) from error
    return GroupPatch(said.get("displayName"), said.get("externalId"), tuple(steps))


def _say_of_group(
    said: dict[str, str], operation: Operation, reading: Reading, whole: Mapping[str, object]
) -> None:
    attribute = operation.path.path.attribute
    if attribute.mutability is Mutability.READ_ONLY:
        _check_unchanged(operation, whole, reading)
        return
    value = None
    if operation.op is not Op.REMOVE:
        value = read_attribute(attribute, operation.value, reading)
        if value is None and operation.op is Op.ADD:
            return
    if attribute.name == "displayName":
        said["displayName"] = check_group_name(value)
    else:
        said[attribute.name] = value if isinstance(value, str) else ""


def _member_steps(operation: Operation, reading: Reading) -> list[MemberStep]:
    path = operation.path
    if path.sub is not None:
        return _check_member_part(path, path.sub)
    if path.filter is not None:
        return _filtered_steps(path.filter, operation, reading)
    if operation.value is None:
        if operation.op is not Op.REMOVE:
            reading.allow(Leniency.NULL_IS_ABSENT)
        return [] if operation.op is Op.ADD else [ClearAll()]
    if operation.op is Op.REMOVE:
        _check_remove_by_value(path.path.attribute, reading)
    ids = read_member_ids(operation.value, reading, single_entry=True)
    match operation.op:
        case Op.ADD:
            return [AddIds(ids)]
        case Op.REMOVE:
            return [RemoveIds(ids)]
        case Op.REPLACE:
            return [ReplaceIds(ids)]
        case _:
            assert_never(operation.op)


def _check_member_part(path: PatchPath, sub: Attribute) -> list[MemberStep]:
    """`display`, `type` and `$ref` of a member are ours to say and ignored. Source: RFC 7643 section 4.2"""
    if sub.name == "value":
        raise MutabilityError(f"{path.text} cannot be changed; remove the member and add another")
    return []


def _filtered_steps(tree: Filter, operation: Operation, reading: Reading) -> list[MemberStep]:
    ids = _equal_ids(tree)
    gone: MemberStep = RemoveMatching(tree) if ids is None else RemoveIds(ids)
    if operation.op is Op.REMOVE:
        return [gone]
    added = AddIds(read_member_ids(operation.value, reading, single_entry=True))
    return [added] if operation.op is Op.ADD else [gone, added]


def _equal_ids(tree: Filter) -> tuple[str, ...] | None:
    """The ids that a filter names, by `value eq` and `or` alone; None for any other filter."""
    if isinstance(tree, Or):
        found: dict[str, None] = {}
        for term in tree.terms:
            inner = _equal_ids(term)
            if inner is None:
                return None
            found.update(dict.fromkeys(inner))
        return tuple(found)
    if isinstance(tree, Comparison) and tree.operator is Operator.EQ and tree.path.lower() == "value":
        return (tree.value.lower(),) if isinstance(tree.value, str) else None
    return None
