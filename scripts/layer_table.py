#!/usr/bin/env python3
"""Write docs/layers.md, the table of all layer types, from the registry and the docstrings.

python scripts/layer_table.py          writes it
python scripts/layer_table.py --check  exits 1 if it is not up to date
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from caffe_layers.layer import Layer  # noqa: E402
from caffe_layers.registry import registered  # noqa: E402

TABLE = ROOT / "docs" / "layers.md"
HEAD = """# Layer types

Written by `python scripts/layer_table.py` from the classes themselves; a test compares. Each type
is a torch module, `from caffe_layers import NAME`, whose keyword arguments are the fields of its
parameter block; its docstring says the rest. What `--layers MODULE` brings is not listed.
"""


def table() -> str:
    """The whole page."""
    families: dict[str, list[type[Layer]]] = {}
    for name in sorted(registered(), key=str.lower):
        cls = registered()[name]
        package, family, *_ = cls.__module__.split(".")
        if package == "caffe_layers":
            families.setdefault(family, []).append(cls)
    return "\n".join([HEAD, *(section(name, families[name]) for name in sorted(families))])


def section(family: str, classes: list[type[Layer]]) -> str:
    """One family: what its package says it is for, and a row per type."""
    room = (sys.modules[f"caffe_layers.{family}"].__doc__ or "").split("\n\n")[0]
    head = f"## {family}\n\n{' '.join(room.split())}\n\n"
    head += "| type | parameters | what it does | source |\n|---|---|---|---|\n"
    return head + "".join(row(cls) for cls in classes)


def row(cls: type[Layer]) -> str:
    """Type, linked to its file, parameter blocks, first paragraph, first sentence of the source."""
    text = inspect.getdoc(cls) or ""
    found = re.search(r"^Source: (.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    source = re.split(r"(?<! al)\.\s", found[1] + " ")[0] if found else ""
    link = f"[{cls.layer_type}](../{cls.__module__.replace('.', '/')}.py)"
    blocks = " ".join(f"`{block}`" for block in cls.param_blocks)
    cells = (link, blocks, text.split("\n\n")[0], source)
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |\n"


def escaped(cell: str) -> str:
    """One line whose bars, stars and the like Markdown leaves alone."""
    return re.sub(r"([|*<])", r"\\\1", " ".join(cell.split()))


def main() -> int:
    """Write the page, or compare it."""
    page = table()
    if "--check" not in sys.argv[1:]:
        TABLE.write_text(page, encoding="utf-8")
        return 0
    if TABLE.exists() and TABLE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/layers.md is not up to date: run python scripts/layer_table.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
