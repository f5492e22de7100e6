"""Names of a prototxt, which may be any text, as they stand in Python source."""

from __future__ import annotations


def quoted(text: str) -> str:
    """A Python string; what could end it, or its line, is a number in it."""
    return f'"{"".join(_letter(letter) for letter in text)}"'


def within_docstring(text: str) -> str:
    """The text as a docstring holds it, its line breaks kept."""
    return "".join(letter if letter == "\n" else _letter(letter) for letter in text)


def _letter(letter: str) -> str:
    if letter.isprintable() and letter not in '"\\':
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\U{number:08x}"
