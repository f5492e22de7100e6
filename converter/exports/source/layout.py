"""Lines of Python, broken where they are too long, as formatters break them."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 88
_OPENING = {")": "(", "]": "[", "}": "{"}


def wrapped(line: str, indent: int) -> list[str]:
    """A statement at this indent; too long, what stands in its last brackets is on lines apart."""
    text = " " * indent + line
    if len(text) <= WIDTH:
        return [text]
    parts = _first_brackets(line) if line.startswith("def ") else _last_brackets(line)
    start, value = _said_of(line)
    if start and _needs_brackets(value, parts, indent):
        operands = _operands(value) if len(value) + indent + 4 > WIDTH else [value]
        inside = [each for operand in operands for each in wrapped(operand, indent + 4)]
        return [" " * indent + f"{start}(", *inside, " " * indent + ")"]
    if parts is None:
        return [text]
    head, inner, tail = parts
    body = " " * (indent + 4) + inner
    items = split_arguments(inner)
    listed = head[-1] in "[{" and len(items) > 1 and " for " not in inner
    if len(body) <= WIDTH and not listed and not (len(items) == 1 and inner.endswith(",")):
        middle = [body]
    else:
        lines = [wrapped(f"{item}{_comma(item, items)}", indent + 4) for item in items]
        middle = [each for lines_of_item in lines for each in lines_of_item]
    return [" " * indent + head, *middle, " " * indent + tail]


def _said_of(line: str) -> tuple[str, str]:
    """`name = ` or `return ` of a statement, and the value; "" of another line."""
    name, assigned, value = line.partition(" = ")
    if assigned and not set(name) & set("([{"):
        return f"{name} = ", value
    return ("return ", line[7:]) if line.startswith("return ") else ("", line)


def _needs_brackets(value: str, parts: tuple[str, str, str] | None, indent: int) -> bool:
    """Whether a value is put in brackets: an operation, or a call with a long name.

    A sum of two that ends with a call is broken in that call's brackets.
    """
    if parts is None or len(parts[0]) + indent > WIDTH:
        return True
    operators = sum(1 for _ in _operator_places(value))
    return operators > 1 or (operators == 1 and not value.endswith(")"))


def _operands(value: str) -> list[str]:
    """What an operation joins, each but the first with its operator; the value if it is none."""
    for operators in ((" + ", " - "), (" * ", " / ")):
        found, start = [], 0
        for i in _operator_places(value):
            if value[i : i + 3] in operators:
                found.append(value[start:i])
                start = i + 1
        if found:
            return [*found, value[start:]]
    return [value]


def _operator_places(text: str) -> Iterator[int]:
    """Where an operator stands outside all brackets."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and text[i : i + 3] in (" + ", " - ", " * ", " / "):
            yield i


def is_operation(text: str) -> bool:
    """Whether an operator stands outside all brackets."""
    return any(True for _ in _operator_places(text))


def split_arguments(text: str) -> list[str]:
    """What stands between the commas that no inner bracket or quote encloses."""
    found, depth, start, quote = [], 0, 0, ""
    for i, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth == 0:
            found.append(text[start:i].strip())
            start = i + 1
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def _comma(item: str, items: list[str]) -> str:
    """No comma behind a lone generator or starred one."""
    return "" if len(items) == 1 and (" for " in item or item.startswith("*")) else ","


def _last_brackets(line: str) -> tuple[str, str, str] | None:
    """The line up to the bracket that its last one closes, what is inside, and the rest."""
    end = len(line) - 1
    while end >= 0 and line[end] not in _OPENING:
        end -= 1
    depth = 0
    for i in range(end, -1, -1):
        depth += (line[i] in ")]}") - (line[i] in "([{")
        if depth == 0 and i < end:
            inside = line[i + 1 : end]
            return (line[: i + 1], inside, line[end:]) if inside else None
    return None


def _first_brackets(line: str) -> tuple[str, str, str] | None:
    """The line up to its first bracket, what is inside, and the rest."""
    start = line.index("(")
    depth = 0
    for i in range(start, len(line)):
        depth += (line[i] in "([{") - (line[i] in ")]}")
        if depth == 0:
            return line[: start + 1], line[start + 1 : i], line[i:]
    return None
