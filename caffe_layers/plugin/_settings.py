"""param_str → settings: JSON, a Python dict literal, YAML, or lines of `key: value`."""

import ast
import json
from typing import Any, Dict

from ..errors import LayerError


def read_settings(label: str, param_str: str, defaults: Dict[str, Any]) -> Dict[str, Any]:
    """The defaults, and over them what `param_str` says.

    JSON and Python literals need no library. YAML is read by the `yaml` package where it is
    installed; where it is not, lines of `key: value` and a flat `{key: value, ...}` still read.

    Raises:
        LayerError: it does not read, or has a setting that `defaults` lacks or of another kind.
    """
    given = parse(param_str)
    if not isinstance(given, dict):
        raise LayerError(
            "{}: param_str must hold settings such as {}, found {!r}".format(
                label, json.dumps(defaults), param_str
            )
        )
    settings = dict(defaults)
    for key, value in given.items():
        if key not in defaults:
            raise LayerError(
                "{}: param_str has no setting {!r}; it takes {}".format(
                    label, key, ", ".join(sorted(defaults))
                )
            )
        settings[key] = _of_kind(label, key, value, defaults[key])
    return settings


def parse(param_str: str) -> Any:
    """What a param_str holds: a dict for settings, None if it is no notation known here."""
    text = param_str.strip()
    if not text:
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    try:
        import yaml
    except ImportError:
        return _key_value_lines(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _key_value_lines(text: str) -> Any:
    """The plainest YAML: one `key: value` per line, or all of them in one pair of braces."""
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].replace(",", "\n")
    found = {}
    for line in text.splitlines():
        line = line.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if not colon:
            return None
        found[key.strip().strip("'\"")] = _scalar(value.strip())
    return found


def _scalar(text: str) -> Any:
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _of_kind(label: str, key: str, value: Any, default: Any) -> Any:
    """`value` in the kind of the default: an integer will do where a float is wanted."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise LayerError(
            "{}: {} in param_str takes a value such as {!r}, found {!r}".format(
                label, key, default, value
            )
        )
    return value
