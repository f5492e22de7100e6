"""A made-up person in the file layout of the integral repositories, for nets whose data is away.

What each file must hold is found from where its numbers go: the layer that cuts the crops tells
centre, size, 2D joints and image apart, the layer that carries them into the camera's frame tells
the 3D joints and the corners of the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..graph import Graph, Node
from ..lineage import above
from ..record import Record

SAMPLES = 8
_CROP = 224
_FOCAL, _CENTRE = (1145.0, 1143.8), (512.5, 515.5)
_READERS = {
    "ReadBlobFromFileIndexing": ("read_blob_from_file_indexing_param", "file_prefix"),
    "ReadBlobFromFile": ("read_blob_from_file_param", "file_path"),
}
# fmt: off
_PARTS = (
    (0, 0, 0), (-132, 0, 25), (-140, 440, -35), (-150, 860, 60), (132, 0, -25), (141, 445, 40),
    (152, 870, -20), (5, -480, -15), (8, -570, 40), (10, -690, 55), (160, -440, -60),
    (255, -190, -110), (300, 50, -230), (-160, -440, 50), (-262, -200, 95), (-320, 20, 180),
)
"""x to the right, y down, z away, in mm from the hips: the 16 part joints of a standing person."""
_ALL_OF_PART = (0, 1, 2, 3, 6, 7, 8, 13, 14, 15, 17, 18, 19, 25, 26, 27)
# fmt: on


@dataclass(frozen=True)
class _Person:
    joints_3d: NDArray[np.float64]
    joints_2d: NDArray[np.float64]
    box: tuple[float, float, float, float]


def made_up(graph: Graph, folder: Path) -> Graph:
    """The graph reading made-up samples 0 … `SAMPLES` - 1, and writing, in `folder`."""
    people = [_person(np.random.default_rng(number)) for number in range(SAMPLES)]
    _write_common(folder, people)
    roles = _roles(graph)
    nodes = tuple(
        _redirected(node, roles.get(node.key, ""), folder, people) for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _person(random: np.random.Generator) -> _Person:
    """A person some metres away, each a little different, seen by the camera and boxed."""
    parts = np.array(_PARTS, np.float64) + random.normal(0, 35, (16, 3))
    parts += random.normal(0, 1, 3) * (250, 100, 300) + (0, 0, 4700)
    joints = np.tile(parts[0], (32, 1))
    joints[list(_ALL_OF_PART)] = parts
    pixels = joints[:, :2] / joints[:, 2:] * _FOCAL + _CENTRE
    low, high = pixels.min(0), pixels.max(0)
    side, middle = (high - low).max() * 1.15, (low + high) / 2
    corner = middle - side / 2
    crop = (pixels - corner) / side * _CROP
    return _Person(joints, crop, (*corner, *(corner + side)))


def _write_common(folder: Path, people: list[_Person]) -> None:
    """Cameras, images and the files that name them."""
    camera = (
        "R: 1 0 0 0 1 0 0 0 1 T: 0 0 0 "
        f"f: {_FOCAL[0]} {_FOCAL[1]} c: {_CENTRE[0]} {_CENTRE[1]} k: 0 0 0 p: 0 0\n"
    )
    for name in ("camera", "names", "images", "out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, person in enumerate(people):
        image = np.random.default_rng(number).integers(90, 160, (_CROP, _CROP, 3), np.uint8)
        for x, y in person.joints_2d[list(_ALL_OF_PART)]:
            cv2.circle(image, (round(x), round(y)), 6, (40, 60, 220), -1)
        path = folder / "images" / f"{number}.png"
        cv2.imwrite(str(path), image)
        (folder / "names" / f"{number}.txt").write_text(f"{path}\n", encoding="utf-8")
        (folder / "camera" / f"{number}.txt").write_text(camera, encoding="utf-8")


def _roles(graph: Graph) -> dict[str, str]:
    """What each reader's numbers are, by the reader's key."""
    roles: dict[str, str] = {}
    for node in graph.nodes:
        wanted: Mapping[int, str] = {}
        if node.type == "GenUnifiedDataAndLabel":
            wanted = {1: "centre", 2: "centre", 3: "size", 4: "joints_2d"}
        elif node.type == "DeepHumanModelH36MGenAug3D":
            wanted = {1: "joints_3d", 2: "box"}
        for place, role in wanted.items():
            readers = (n for n in above(graph, (node.bottoms[place],)) if n.type in _READERS)
            for reader in readers:
                roles.setdefault(reader.key, role)
    return roles


def _numbers(role: str, person: _Person, count: int) -> list[float]:
    """What a file with this role holds."""
    values: Mapping[str, Any] = {
        "centre": [_CROP / 2],
        "size": [_CROP],
        "joints_2d": person.joints_2d,
        "joints_3d": person.joints_3d,
        "box": person.box,
    }
    flat = [float(value) for value in np.asarray(values.get(role, ()), np.float64).reshape(-1)]
    return (flat + [0.5] * count)[:count]


def _redirected(node: Node, role: str, folder: Path, people: list[_Person]) -> Node:
    """The node with its paths in `folder`, the files there written, and indices that are there."""
    fields: dict[str, Any] = {
        "camera_parameters_prefix": f"{folder}/camera/",
        "file_name_file_prefix": f"{folder}/names/",
        "save_path": f"{folder}/out/",
        "index_lower_bound": 0,
        "index_upper_bound": SAMPLES - 1,
        "start_index": 0,
        "num_of_samples": SAMPLES,
    }
    for state in ("current_index_file_path", "index_file_path"):
        fields[state] = f"{folder}/{node.key.replace('/', '_')}.{state}.txt"
    if node.type in _READERS:
        block, field = _READERS[node.type]
        fields[field] = _written(node, block, role, folder, people)
    record = node.record.having(
        **{
            name: block.having(**{key: fields[key] for key in fields if key in block})
            for name, block in node.record.fields.items()
            if isinstance(block, Record)
        }
    )
    _write_places(record)
    return replace(node, record=record)


def _written(node: Node, block: str, role: str, folder: Path, people: list[_Person]) -> str:
    """Write a reader's files; returns its prefix, or the one file's path."""
    place = folder / node.key.replace("/", "_")
    place.mkdir(exist_ok=True)
    count = node.record[block].get("num_to_read", 21)
    for number, person in enumerate(people):
        text = " ".join(f"{value:.6f}" for value in _numbers(role, person, count))
        (place / f"{number}.txt").write_text(f"{text}\n", encoding="utf-8")
    return f"{place}/" if node.type == "ReadBlobFromFileIndexing" else f"{place}/0.txt"


def _write_places(record: Record) -> None:
    """The state file and the list that a source layer reads."""
    for block in record.fields.values():
        if not isinstance(block, Record):
            continue
        if "current_index_file_path" in block:
            Path(block["current_index_file_path"]).write_text("-1\n", encoding="utf-8")
        if "index_file_path" in block:
            listed = "\n".join(map(str, range(SAMPLES)))
            Path(block["index_file_path"]).write_text(f"{listed}\n", encoding="utf-8")
