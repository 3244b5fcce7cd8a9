"""One plain sentence for an event, for lists at the command line. Clear names are handed in."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from audit.body import ActorBody, ChangeBody, EventBody, ReasonBody, ScalarBody, TargetBody, ValueBody
from audit.events import ACTIONS, Outcome

NO_NAMES: Mapping[str, str] = MappingProxyType({})

_OPTIONAL_PART = re.compile(r"\[([^\]]*)\]")
_WORD = re.compile(r"\{([^}]*)\}")
_NOT_RECORDED = "(not recorded)"
_ACTOR_KINDS = {
    "token": "SCIM token",
    "run": "synchronisation run",
    "admin": "administrator",
    "support": "support",
    "login": "login",
    "api_key": "API key",
}
_OUTCOMES: Mapping[str, str] = {
    Outcome.DENIED: "Denied",
    Outcome.FAILURE: "Failed",
    Outcome.NOOP: "No effect",
}


def describe(body: EventBody, *, names: Mapping[str, str] = NO_NAMES) -> str:
    """Say in one sentence what happened.

    `names` gives clear names for ids and PII references; what it lacks is shown by its id. An action of a
    later release is shown by its name.
    """
    label = _LABELS.get(body["action"])
    if label is None:
        label = _read_label(f"{{actor}} caused {body['action']}[ on {{subject}}]")
    words = _collect_words(body, label.words, names)
    sentence = "".join(part.fill(words) for part in label.parts)
    reason = _render_reason(body["reason"], names) if "reason" in body else ""
    outcome = _OUTCOMES.get(body["outcome"])
    if outcome is not None:
        return _show(f"{outcome}{', ' if reason else ''}{reason}: {sentence}.")
    return _show(f"{sentence[:1].upper()}{sentence[1:]}{' because of ' if reason else ''}{reason}.")


def _show(sentence: str) -> str:
    """A directory names its groups; line ends and terminal controls in a name must not reach a terminal."""
    if sentence.isprintable():
        return sentence
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in sentence
    )


class _Part(NamedTuple):
    """Texts and words by turns, a text first. An optional part is left out unless all its words are known.

    Values come later, so they are never parsed.
    """

    texts: tuple[str, ...]
    words: tuple[str, ...]
    is_optional: bool

    def fill(self, words: Mapping[str, str]) -> str:
        if self.is_optional and any(word not in words for word in self.words):
            return ""
        filled = [self.texts[0]]
        for word, text in zip(self.words, self.texts[1:], strict=True):
            filled += (words.get(word, _NOT_RECORDED), text)
        return "".join(filled)


class _Label(NamedTuple):
    parts: tuple[_Part, ...]
    words: frozenset[str]


def _read_label(label: str) -> _Label:
    parts = []
    # Split at the brackets, and within at the braces: what was in them stands at the odd places.
    for place, part in enumerate(_OPTIONAL_PART.split(label)):
        pieces = _WORD.split(part)
        parts.append(_Part(tuple(pieces[::2]), tuple(pieces[1::2]), is_optional=place % 2 == 1))
    return _Label(tuple(parts), frozenset(word for part in parts for word in part.words))


_LABELS: Mapping[str, _Label] = MappingProxyType(
    {action: _read_label(spec.label) for action, spec in ACTIONS.items()}
)
"""The labels of all actions, read once: streams make sentences by the thousand."""


def _collect_words(body: EventBody, wanted: frozenset[str], names: Mapping[str, str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for change in body.get("changes", []):
        _add_change(change, wanted, words, names)
    for target in body.get("targets", []):
        if target["role"] in wanted:
            words.setdefault(target["role"], _render_target(target, names))
    words["actor"] = _render_actor(body["actor"], names)
    return words


def _add_change(
    change: ChangeBody, wanted: frozenset[str], words: dict[str, str], names: Mapping[str, str]
) -> None:
    path, before, after = change["path"], change["before"], change["after"]
    now = before if after is None else after
    for word, value in ((path, now), (f"{path}.before", before), (f"{path}.after", after)):
        if word in wanted and value is not None:
            words[word] = _render_value(value, names)


def _render_value(value: ValueBody, names: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return ", ".join(names.get(item, item) for item in value) or "nothing"
    if isinstance(value, dict):
        return f"a value of {value['len']} bytes"
    return _render_scalar(value)


def _render_scalar(value: ScalarBody) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _render_target(target: TargetBody, names: Mapping[str, str]) -> str:
    known = names.get(target.get("pii", ""), names.get(target["id"]))
    if known is not None:
        return known
    kind = "directory user" if target["type"] == "user" else target["type"].replace("_", " ")
    return f"{kind} {target['id']}"


def _render_actor(actor: ActorBody, names: Mapping[str, str]) -> str:
    name = names.get(actor["id"], actor["id"])
    if actor["type"] == "system":
        return f"the system ({name})"
    kind = "operator" if actor.get("operator") else _ACTOR_KINDS.get(actor["type"], actor["type"])
    told = f"{kind} {name}"
    if "on_behalf_of" in actor:
        told += f" on behalf of {names.get(actor['on_behalf_of'], actor['on_behalf_of'])}"
    return told


def _render_reason(reason: ReasonBody, names: Mapping[str, str]) -> str:
    numbers = ", ".join(
        f"{name} {_render_value(value, names)}" for name, value in reason.get("numbers", {}).items()
    )
    return f"{reason['code']} ({numbers})" if numbers else reason["code"]
