"""Prototxt → tree: protobuf's text format, every field with its place, all problems at once.

Reads what protobuf's own text format reads: `name: {`, `name <  >`, commas and semicolons between
fields, strings joined over lines, `[1, 2]` lists, `[ext.name]` names. Knows no schema: values stay
as they are spelt. A file that does not read still gives a tree, so that its fields can be checked.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .record import Lines

DEEPEST = 100
BROKEN = ""
"""The value of a field whose value did not read; the problem is already reported."""

Value: TypeAlias = "str | list[Field] | tuple[Field, ...]"


class Field(NamedTuple):
    """One field: its name, the offset of the name, and what follows it.

    A scalar is the str as it was spelt, a block the list of its fields, a list in brackets the
    tuple of its items, each a Field of the same name.
    """

    name: str
    at: int
    value: Value


@dataclass(slots=True)
class Tree:
    """The fields of a file and what is wrong with its syntax, as (offset, message)."""

    lines: Lines
    fields: list[Field]
    problems: list[tuple[int, str]] = field(default_factory=list)


def parse(text: str, file: str) -> Tree:
    """The tree of one text; `problems` is empty if protobuf would read its syntax, too."""
    text = text.removeprefix("\ufeff") + "\n"
    first = _Parser(text, file)
    tree = first.tree()
    if first.unclosed:
        second = _Parser(text, file, by_indent=True)
        guess = second.tree()
        if not second.unclosed and second.strays == first.strays:
            return guess
    return tree


def value_offset(text: str, at: int) -> int:
    """Where the value of the field at `at` begins (a list item is its own value)."""
    found = _UP_TO_VALUE.match(text, at)
    return found.end() if found else at


_SKIP = r"\s*(?:\#[^\n]*\n\s*)*"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = r"0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fF]?"
_PLAIN = rf"(?:{_NAME}|{_NUMBER})(?=[\s,;}}>\]\#])"
_FIELD = re.compile(
    rf"""{_SKIP}(?:
      ({_NAME})[ \t]*(?:
          :?[ \t]*([{{<])
        | :[ \t]*("[^"\\\n]*"(?!\s*["'\#])|-?{_PLAIN})[,;]?
        |)
      | ([}}>])[,;]?
      |)""",
    re.VERBOSE,
)
_GAP = re.compile(_SKIP)
_WORD = re.compile(_PLAIN)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_RUN = re.compile(r"[^\s{}<>\[\],;#\"']+")
_STATEMENT = re.compile(r"[^\n{}#]*")
_NAME_NEXT = re.compile(rf"{_NAME}{_SKIP}(?::(?=[\s\"'])|[{{<])", re.VERBOSE)
_BRACKETED = re.compile(r"\[[\s\w./-]+\]")
_NUMBERED = re.compile(rf"[0-9]+(?={_SKIP}[:{{<])", re.VERBOSE)
_PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]*\}\}|\{[ \t]*\w+[ \t]*\}|\$\{[^}\n]*\}|\$\([^)\n]*\)"
    r"|%\([^)\n]*\)\w?|<%[^\n]*%>|@\w+@"
)
_UP_TO_VALUE = re.compile(
    rf"(?:{_NAME}|[0-9]+(?={_SKIP}:)|\[[^\]\n]*\](?={_SKIP}[:{{<])){_SKIP}:?{_SKIP}", re.VERBOSE
)
_CURLY = "\u201c\u201d\u201e\u2018\u2019"
_CLOSER = {"{": "}", "<": ">"}


class _Open(NamedTuple):
    """A block being read, and the list its own field stands in."""

    field: Field
    opener: str
    outer: list[Field]


class _Parser:
    """One pass of `_FIELD` over the text; everything unusual goes through the methods below it."""

    def __init__(self, text: str, file: str, *, by_indent: bool = False) -> None:
        self.text = text
        self.by_indent = by_indent
        self.lines = Lines(file, text)
        self.here: list[Field] = []
        self.stack: list[_Open] = []
        self.problems: list[tuple[int, str]] = []
        self.ended = False
        self.unclosed = False
        self.strays = 0

    def tree(self) -> Tree:
        root = self.here
        self.fields(0, -1)
        return Tree(self.lines, root, self.problems)

    def fields(self, at: int, depth: int) -> int:
        """Read on from `at` until no more than `depth` blocks are open; where that was."""
        text, match = self.text, _FIELD.match
        while True:
            found = match(text, at)
            assert found is not None  # the last alternative is empty
            kind = found.lastindex
            if kind == 3:
                self.here.append(Field(found[1], found.start(1), found[3]))
                at = found.end()
            elif kind == 2:
                at = self.open(found[1], found.start(1), found.end() - 1)
            elif kind == 4:
                at = found.end()
                if self.close(found.start(4)) and len(self.stack) == depth:
                    return found.end(4)
            elif kind == 1:
                at = self.after_name(found[1], found.start(1), found.end(1))
            elif found.end() >= len(text):
                self.finish()
                return len(text)
            else:
                at = self.nameless(found.end(), at)

    def problem(self, at: int, message: str) -> None:
        self.problems.append((min(at, len(self.text) - 1), message))

    def skip(self, at: int) -> int:
        found = _GAP.match(self.text, at)
        assert found is not None  # matches nothing at least
        return found.end()

    # blocks

    def open(self, name: str, name_at: int, at: int) -> int:
        if len(self.stack) == DEEPEST:
            return self.give_up(name_at, f"'{name}' is nested more than {DEEPEST} blocks deep")
        if self.by_indent:
            self.close_by_indent(name, name_at)
        block: list[Field] = []
        opened = Field(name, name_at, block)
        self.here.append(opened)
        self.stack.append(_Open(opened, self.text[at], self.here))
        self.here = block
        return at + 1

    def close(self, at: int) -> bool:
        mark = self.text[at]
        if not self.stack:
            self.strays += 1
            self.problem(at, f"'{mark}' closes nothing: no block is open here")
            return False
        opened = self.stack.pop()
        self.here = opened.outer
        if mark != _CLOSER[opened.opener]:
            self.problem(
                at,
                f"'{mark}' closes '{opened.field.name} {opened.opener}' "
                f"of line {self.line(opened.field.at)}: '{_CLOSER[opened.opener]}' is wanted",
            )
        return True

    def line(self, at: int) -> int:
        return self.lines.where(at).line

    def give_up(self, at: int, message: str) -> int:
        """Report what makes reading on pointless; the end of the text."""
        self.problem(at, message)
        self.ended = True
        return len(self.text)

    def close_by_indent(self, name: str, at: int) -> None:
        """In a file whose braces don't balance: a block ends where the next of its name begins
        at its indent."""
        place = self.lines.where(at)
        for i, opened in enumerate(self.stack):
            if opened.field.name == name:
                if self.lines.where(opened.field.at).column < place.column:
                    continue
                self.not_closed(self.stack[i:], f" before the next '{name}' at line {place.line}")
                self.here = opened.outer
                del self.stack[i:]
                return

    def not_closed(self, blocks: list[_Open], before: str = "") -> None:
        *around, opened = blocks
        nor = f", nor are the {len(around)} blocks around it" if len(around) > 1 else ""
        self.problem(
            opened.field.at,
            f"'{opened.field.name} {opened.opener}' is opened here and not closed{before}"
            + (", nor is the block around it" if len(around) == 1 else nor),
        )

    def finish(self) -> None:
        """At the end of the text: name the blocks that are still open."""
        if self.stack and not self.ended:
            self.unclosed = True
            self.not_closed(self.stack)
        self.stack.clear()
        self.ended = True

    # fields

    def after_name(self, name: str, name_at: int, at: int) -> int:
        """The part of a field behind its name; where it ended."""
        if self.text[at] not in "\"'#:,;{}<>[]" and not self.text[at].isspace():
            return self.bad_statement(name_at)
        at = self.skip(at)
        colon = self.text.startswith(":", at)
        if colon:
            at = self.skip(at + 1)
        mark = self.text[at : at + 1]
        if mark in ("{", "<"):
            return self.open(name, name_at, at)
        if mark == "[":
            end = self.items(name, name_at, at)
            found = self.here[-1].value if self.here else None
            if not colon and isinstance(found, tuple) and not all(map(_is_block, found)):
                self.problem(at, f"':' is missing between '{name}' and its list")
            return end
        if not colon:
            if mark in ("", "}", ">", ",", ";") or self.line(at) != self.line(name_at):
                return self.lone_name(name, name_at, at)
            self.problem(at, f"':' is missing between '{name}' and its value")
        value, at = self.scalar(name, name_at, at)
        self.here.append(Field(name, name_at, value))
        return at

    def lone_name(self, name: str, name_at: int, at: int) -> int:
        """A name without a value; a placeholder if it is all there is between two braces."""
        opened = self.stack[-1] if self.stack else None
        alone = opened is not None and not self.here and self.text.startswith("}", at)
        if opened is not None and alone:
            opened.outer[-1] = opened.field._replace(value=BROKEN)
            self.problem(name_at, _template(f"{{{name}}}"))
        else:
            self.problem(
                name_at, f"'{name}' has neither a value (': ...') nor a block ('{{ ... }}')"
            )
            self.here.append(Field(name, name_at, BROKEN))
        return at

    def scalar(self, name: str, name_at: int, at: int) -> tuple[str, int]:
        """The value at `at` as spelt, strings joined by one space, and where it ended."""
        mark = self.text[at : at + 1]
        if mark in ('"', "'"):
            return self.strings(at)
        sign_end = self.skip(at + 1) if mark == "-" else at
        if mark in ("", "}", ">", ",", ";", "]") or _NAME_NEXT.match(self.text, at):
            self.problem(name_at, f"'{name}:' has no value")
            return BROKEN, at
        found = _WORD.match(self.text, sign_end)
        if found:
            return self.text[at:sign_end].strip()[:1] + found.group(), found.end()
        return BROKEN, self.bad_value(name, at)

    def bad_value(self, name: str, at: int) -> int:
        if found := _PLACEHOLDER.match(self.text, at):
            self.problem(at, _template(found.group()))
            return found.end()
        found = _RUN.match(self.text, at)
        if found is None or not found.group().isprintable():
            self.problem(at, f"{_character(self.text[at])} is no value for '{name}'")
            return self.end_of_statement(at + 1)
        word = found.group()
        if word[0].isdigit() or word[0] in "+-.":
            self.problem(at, f"'{word}' is no number; if '{name}' is text, it needs quotes")
        else:
            quoted = f'{name}: "{word.strip(_CURLY)}"'
            self.problem(at, f"'{word}' is no value; text needs quotes: {quoted}")
        return found.end() if ":" not in word else self.end_of_statement(at)

    def strings(self, at: int) -> tuple[str, int]:
        parts = []
        while self.text[at] in ('"', "'"):
            found = _STRING.match(self.text, at)
            if found is None:
                self.problem(at, f"the string that {self.text[at]} opens is not closed on its line")
                return BROKEN, self.text.index("\n", at)
            parts.append(found.group())
            end = found.end()
            at = self.skip(end)
            if at == len(self.text):
                break
        return " ".join(parts), end

    def items(self, name: str, name_at: int, at: int) -> int:
        """A list in brackets, whose '[' is at `at`."""
        found: list[Field] = []
        at = self.skip(at + 1)
        if not self.text.startswith("]", at):
            while True:
                at = self.skip(self.item(name, at, found))
                if not self.text.startswith(",", at):
                    break
                at = self.skip(at + 1)
        self.here.append(Field(name, name_at, tuple(found)))
        if self.ended:
            return at
        if not self.text.startswith("]", at):
            self.problem(at, f"',' or ']' is wanted here, in the list of '{name}'")
            return self.end_of_statement(at)
        return at + 1

    def item(self, name: str, at: int, found: list[Field]) -> int:
        if self.text[at : at + 1] in ("{", "<"):
            outer, self.here, depth = self.here, found, len(self.stack)
            end = self.fields(self.open(name, at, at), depth)
            self.here = outer
            return end
        value, end = self.scalar(name, at, at)
        found.append(Field(name, at, value))
        return end

    # what stands where a name should

    def nameless(self, at: int, before: int) -> int:
        """Something that is neither a name nor a closing brace, behind the gap at `before`."""
        mark = self.text[at]
        if mark in ",;":
            if before == 0 or self.text[before - 1] in ",;{<":
                self.problem(at, f"'{mark}' separates nothing")
            return at + 1
        if found := _BRACKETED.match(self.text, at):
            return self.after_name("".join(found.group().split()), at, found.end())
        if found := _NUMBERED.match(self.text, at):
            return self.after_name(found.group(), at, found.end())
        if mark in "{<":
            for spelt in ("{{", "{%", "<%"):
                if self.text.startswith(spelt, at) or (self.text[at - 1 : at + 1] == spelt):
                    return self.give_up(at, _template(spelt))
            self.problem(at, f"'{mark}' opens a block that has no name")
            return self.open("", at, at)
        if mark in "\"'":
            self.problem(at, "a string without a field name before it")
            return self.strings(at)[1]
        if mark in "%$@":
            found = _RUN.match(self.text, at)
            return self.give_up(at, _template(found.group() if found else mark))
        return self.bad_statement(at)

    def bad_statement(self, at: int) -> int:
        found = _RUN.match(self.text, at)
        if found and found.group().isprintable():
            comma = self.text[at - 2 : at].isascii() and re.match(r"\d,", self.text[at - 2 : at])
            hint = "; decimals are written with a point" if comma and at > 1 else ""
            self.problem(at, f"'{found.group()}' is no field name{hint}")
        else:
            self.problem(at, f"{_character(self.text[at])} cannot stand here")
        at = self.end_of_statement(at + 1)
        return self.open("", at, at) if self.text.startswith("{", at) else at

    def end_of_statement(self, at: int) -> int:
        found = _STATEMENT.match(self.text, at)
        return found.end() if found else at


def _is_block(field: Field) -> bool:
    return isinstance(field.value, list)


def _template(spelt: str) -> str:
    return f"'{spelt}' is a template's mark: this file must be filled in before it can be read"


def _character(mark: str) -> str:
    if mark.isprintable():
        return f"'{mark}'"
    return f"U+{ord(mark):04X} ({unicodedata.name(mark, 'no text')})"
