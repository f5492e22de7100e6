"""Lines of Python, broken where they are too long, as formatters break them."""

from __future__ import annotations

WIDTH = 88
_OPENING = {")": "(", "]": "[", "}": "{"}


def wrapped(line: str, indent: int) -> list[str]:
    """A statement at this indent; too long, what stands in its last brackets is on lines apart."""
    text = " " * indent + line
    if len(text) <= WIDTH:
        return [text]
    parts = _first_brackets(line) if line.startswith("def ") else _last_brackets(line)
    name, assigned, value = line.partition(" = ")
    if assigned and "(" not in name and _needs_brackets(value, parts, indent):
        inside = wrapped(value, indent + 4)
        return [" " * indent + f"{name} = (", *inside, " " * indent + ")"]
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


def _needs_brackets(value: str, parts: tuple[str, str, str] | None, indent: int) -> bool:
    """Whether an assigned value is put in brackets: an operation, or a call with a long name."""
    if parts is not None and len(parts[0]) + indent > WIDTH:
        return True
    is_sum = _last_brackets(value) is None or _is_operation(value)
    return is_sum and len(value) + indent + 4 <= WIDTH


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


def _is_operation(text: str) -> bool:
    """Whether an operator stands outside all brackets."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and text[i : i + 3] in (" + ", " - ", " * ", " / "):
            return True
    return False
