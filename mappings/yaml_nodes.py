"""Reads YAML into nodes that remember their line, and collects all faults instead of the first.

Knows nothing of catalogues. Anchors, aliases, merge keys and tags are refused: a file says plainly what it
says, and none can grow on being read.
"""

import re
from collections.abc import Collection, Iterator

import yaml

from mappings.errors import CatalogueFault

LARGEST_TEXT = 262_144
"""Characters. The shipped catalogues have about a tenth of it."""

DEEPEST_NESTING = 12

_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


class NodeReader:
    """Turns nodes into plain values.

    A value of the wrong form is noted in `faults` and replaced by an empty one.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[CatalogueFault] = []

    def note(self, node: yaml.Node, reason: str) -> None:
        self.note_line(node.start_mark.line + 1, reason)

    def note_line(self, line: int, reason: str) -> None:
        self.faults.append(CatalogueFault(self.source, line, reason))

    def read_tree(self, text: str) -> yaml.Node | None:
        """Parse one document. None when it cannot be parsed at all; the reason is then among the faults."""
        if len(text) > LARGEST_TEXT:
            self.note_line(1, f"the file has {len(text)} characters, more than {LARGEST_TEXT}")
            return None
        try:
            if not self._is_plain(text):
                return None
            node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            self.note_line(_line_of(error), f"not YAML: {error.problem}")
            return None
        except yaml.reader.ReaderError as error:
            self.note_line(text.count("\n", 0, error.position) + 1, f"not YAML: {error.reason}")
            return None
        if node is None:
            self.note_line(1, "the file is empty")
        return node

    def _is_plain(self, text: str) -> bool:
        """Look at the events first: they come without recursion, before anything is built from an alias."""
        depth = 0
        before = len(self.faults)
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                self.note_line(line, "aliases are refused: write the value out")
            elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                self.note_line(line, "anchors are refused: write the value out")
            elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                self.note_line(line, f"the tag {event.tag!r} is refused")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST_NESTING:
                    self.note_line(line, f"nested deeper than {DEEPEST_NESTING} levels")
                    break
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        return len(self.faults) == before

    def entries(self, node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Key, key node and value node of each entry.

        A key given twice is noted and its later value left out.
        """
        if not isinstance(node, yaml.MappingNode):
            self.note(node, f"{what} must be a mapping")
            return
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.text(key_node, f"a key of {what}")
            if not key:
                continue
            if key in lines:
                self.note(key_node, f"{key!r} is given twice in {what}, first on line {lines[key]}")
                continue
            lines[key] = key_node.start_mark.line + 1
            yield key, key_node, value_node

    def fields(
        self, node: yaml.Node, what: str, *, required: Collection[str], optional: Collection[str] = ()
    ) -> dict[str, yaml.Node]:
        """The fields of a mapping with known keys. Unknown and missing ones are noted."""
        found: dict[str, yaml.Node] = {}
        for key, key_node, value_node in self.entries(node, what):
            if key in required or key in optional:
                found[key] = value_node
            else:
                known = ", ".join(sorted((*required, *optional)))
                self.note(key_node, f"unknown key {key!r} in {what}; known are {known}")
        if isinstance(node, yaml.MappingNode):
            for key in required:
                if key not in found:
                    self.note(node, f"{what} lacks {key!r}")
        return found

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            self.note(node, f"{what} must be a list")
            return []
        return list(node.value)

    def text(self, node: yaml.Node, what: str, *, may_be_empty: bool = False) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            self.note(node, f"{what} must be text; put it in quotes if it looks like a number or a yes")
            return ""
        value = str(node.value)
        if not value.strip() and not may_be_empty:
            self.note(node, f"{what} must not be empty")
            return ""
        return value

    def texts(self, node: yaml.Node, what: str) -> list[tuple[str, yaml.Node]]:
        """A list of different texts, each with its node."""
        found: dict[str, yaml.Node] = {}
        for item in self.items(node, what):
            value = self.text(item, f"an item of {what}")
            if value in found:
                self.note(item, f"{value!r} stands twice in {what}")
            elif value:
                found[value] = item
        return list(found.items())

    def number(self, node: yaml.Node, what: str) -> int | None:
        """A whole number in plain decimal digits; None when it is not one."""
        if isinstance(node, yaml.ScalarNode) and node.style is None and _WHOLE_NUMBER.fullmatch(node.value):
            return int(node.value)
        self.note(node, f"{what} must be a whole number")
        return None

    def flag(self, node: yaml.Node, what: str) -> bool:
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in {"true", "false"}:
            return bool(node.value == "true")
        self.note(node, f"{what} must be true or false")
        return False


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark is not None else 1
