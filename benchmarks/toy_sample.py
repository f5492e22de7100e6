"""The toy sample of the integral-regression corpus under one index, and nets that read it.

The sample has one file per folder, each with another id, and a Windows path to its image. A copy
gives them all the indices 0 … `SAMPLES` - 1; a net's paths and index bounds are set to it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
SAMPLE = "strawberryfg+c2f-3dhm-human-caffe/data/toy_example"
SAMPLES = 4
WRITTEN = ("g", "s1_max", "s1_int")
"""Folders that the nets write to and that must be there."""


def renumbered(folder: Path, corpus: Path = CORPUS) -> Path:
    """Copy the toy sample to `folder`, the same one under each index; returns the folder."""
    image = next((corpus / SAMPLE / "images").iterdir())
    (folder / "images").mkdir(parents=True, exist_ok=True)
    shutil.copy(image, folder / "images" / image.name)
    for kind in sorted(path for path in (corpus / SAMPLE).iterdir() if path.name != "images"):
        (folder / kind.name).mkdir(exist_ok=True)
        text = next(kind.iterdir()).read_text()
        if kind.name == "image_path_file":
            text = f"{folder / 'images' / image.name}\n"
        for index in range(SAMPLES):
            (folder / kind.name / f"{index}.txt").write_text(text)
    return folder


def reading_toy(prototxt: Path, data: Path, into: Path) -> Path:
    """A copy of a net in `into` that reads the renumbered sample in `data`; returns its path."""
    for name in WRITTEN:
        (into / name).mkdir(parents=True, exist_ok=True)
    text = prototxt.read_text(encoding="utf-8")
    text = re.sub(r'"/data/wqf/[^"]*?Human3\.6M/', f'"{data}/', text)
    text = re.sub(rf'"({"|".join(WRITTEN)})/"', rf'"{into}/\1/"', text)
    text = re.sub(r"(index_lower_bound:\s*)\d+", r"\g<1>0", text)
    text = re.sub(r"(index_upper_bound:\s*)\d+", rf"\g<1>{SAMPLES - 1}", text)
    copy = into / prototxt.name
    copy.write_text(text, encoding="utf-8")
    return copy
