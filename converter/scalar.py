"""How single values are spelt in a prototxt: token → Python value and back.

The readers raise ValueError with what was wanted ("a whole number from 0 to 255"); where it was
and what was found is for the caller to say.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

NAN = float("nan")
"""The one NaN of all records, so that records which say NaN compare equal."""

QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))"
)
_OCTAL = re.compile("-?0[0-9]")
_LETTERS = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    "'": b"'",
    '"': b'"',
    "?": b"?",
}
_SPELT = {
    9: "\\t",
    10: "\\n",
    13: "\\r",
    34: '\\"',
    39: "\\'",
    92: "\\\\",
}
_FLOAT32 = struct.Struct("<f")


def float32(value: float) -> float:
    """The nearest float32, as a Python float; beyond its range infinity."""
    try:
        return _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


# reading


def read_text(token: str) -> str:
    """A quoted token (or several, joined) as text; bytes that are no UTF-8 become surrogates."""
    if "\\" not in token and token.count(token[0]) == 2 and token[0] == token[-1] in "\"'":
        return token[1:-1]
    return read_bytes(token).decode("utf-8", "surrogateescape")


def read_bytes(token: str) -> bytes:
    """The bytes of a quoted token, escapes resolved."""
    if token[0] not in "\"'":
        raise ValueError("text in quotes")
    return b"".join(_unquoted(found.group()[1:-1]) for found in QUOTED.finditer(token))


def _unquoted(body: str) -> bytes:
    pieces, end = [], 0
    for found in _ESCAPE.finditer(body):
        pieces += [_encode(body[end : found.start()]), _unescaped(found)]
        end = found.end()
    return b"".join([*pieces, _encode(body[end:])])


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unescaped(found: re.Match[str]) -> bytes:
    octal, hexadecimal, short, long, letter = found.groups()
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if letter is None:
        code = int(short if short is not None else long, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"escapes that are characters, which {found.group()} is not")
        return chr(code).encode()
    if letter not in _LETTERS:
        raise ValueError(f"no unknown escape {found.group()} (write \\\\ or / for \\)")
    return _LETTERS[letter]


def read_integer(token: str, low: int, high: int) -> int:
    """A decimal, hexadecimal (0x) or octal (leading 0) number within low..high."""
    digits = token.removeprefix("-")
    try:
        if digits[0] == "0" and len(digits) > 1:
            value = int(digits, 16 if digits[1] in "xX" else 8)
            value = -value if digits != token else value
        else:
            value = int(token)
    except ValueError:
        value = high + 1
    if not low <= value <= high or (low == 0 and digits != token):
        raise ValueError(f"a whole number from {low} to {high}")
    return value


@lru_cache(maxsize=4096)
def read_float(token: str) -> float:
    """A decimal number, inf or nan; an f behind it is passed over."""
    if not _OCTAL.match(token):
        for spelt in (token, token[:-1] if token[-1] in "fF" else ""):
            try:
                value = float(spelt)
            except ValueError:
                continue
            return NAN if value != value else value
    raise ValueError("a number, in decimals")


@lru_cache(maxsize=4096)
def read_float32(token: str) -> float:
    """As `read_float`, rounded to float32."""
    value = read_float(token)
    return value if value is NAN else float32(value)


def read_bool(token: str) -> bool:
    """true, True, t, 1 or false, False, f, 0."""
    if token in ("true", "True", "t", "1"):
        return True
    if token in ("false", "False", "f", "0"):
        return False
    raise ValueError("true or false")


def _integers(bits: int, *, signed: bool) -> Callable[[str], int]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    @lru_cache(maxsize=4096)
    def read(token: str) -> int:
        return read_integer(token, low, high)

    return read


_INT32, _INT64 = _integers(32, signed=True), _integers(64, signed=True)
_UINT32, _UINT64 = _integers(32, signed=False), _integers(64, signed=False)
READERS: Mapping[str, Callable[[str], Any]] = {
    "string": read_text,
    "bytes": read_bytes,
    "bool": read_bool,
    "float": read_float32,
    "double": read_float,
    "int32": _INT32,
    "sint32": _INT32,
    "sfixed32": _INT32,
    "int64": _INT64,
    "sint64": _INT64,
    "sfixed64": _INT64,
    "uint32": _UINT32,
    "fixed32": _UINT32,
    "uint64": _UINT64,
    "fixed64": _UINT64,
}


def guess(token: str) -> Any:
    """The value of a token of which no schema says the kind; a bare word stays text."""
    if token[:1] in ("'", '"'):
        return read_text(token)
    if token in ("true", "false"):
        return token == "true"
    for read in (lambda t: read_integer(t, -(1 << 63), (1 << 64) - 1), read_float):
        try:
            return read(token)
        except ValueError:
            continue
    return token


# printing


def spell(kind: str, value: Any) -> str:
    """The token that reads back as `value` in a field of this kind, as protobuf would print it."""
    if kind == "float":
        return _shortest(float32(value), range(6, 10), float32)
    if kind == "double":
        return _shortest(float(value), range(15, 18), float)
    if kind == "string":
        return quote(_encode(value), utf8=True)
    if kind == "bytes":
        return quote(value, utf8=False)
    if kind == "bool":
        return "true" if value else "false"
    return str(value)


def _shortest(value: float, digits: range, exactly: Callable[[float], float]) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    spelt = (f"{value:.{precision}g}" for precision in digits)
    return next(each for each in spelt if exactly(float(each)) == value)


def quote(value: bytes, *, utf8: bool) -> str:
    """A literal in double quotes; bytes that are not ASCII stay text if they are UTF-8."""
    if utf8:
        text = value.decode("utf-8", "surrogateescape")
        return '"' + "".join(_escaped(ord(mark)) for mark in text) + '"'
    return '"' + "".join(_escaped(byte, utf8=False) for byte in value) + '"'


def _escaped(code: int, *, utf8: bool = True) -> str:
    if code in _SPELT:
        return _SPELT[code]
    if 32 <= code < 127 or (utf8 and code > 127 and not 0xDC80 <= code <= 0xDCFF):
        return chr(code)
    return f"\\{code & 0xFF:03o}"
