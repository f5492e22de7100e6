"""What is in a file, whichever it is: data for scripts, and tables for people."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py

from caffe_layers.errors import CaffeError, DataError
from caffe_layers.layer import Shape
from converter.blob import read_blob
from converter.facts.database_facts import DatabaseFacts, database_facts, is_database
from converter.facts.list_facts import ListFacts, is_list, list_facts
from converter.facts.net_facts import LayerFacts, NetFacts
from converter.facts.number_facts import NumberFacts, number_facts, weight_facts
from converter.facts.tensor_facts import SUFFIXES as TENSORS
from converter.facts.tensor_facts import tensor_facts
from converter.hdf5_weights import SIGNATURE
from converter.message import write_text
from converter.record import Record
from converter.schema import load_schema
from converter.text import parse
from converter.verify.no_net import check_prototxt
from converter.view.labels import bytes_text, count_text, shape_text
from converter.weights import read_weights
from retrain.settings import read_settings
from retrain.solver_state import read_state

from .errors import UsageError
from .looking import looked_at, read_graph

NUMBERS = ("shape", "type", "min", "max", "mean", "std", "NaN", "inf")
_MOST_LABELS = 40


@dataclass(frozen=True)
class Table:
    """Rows under a head; the columns from `left` on are numbers. `foot` has the sums.

    `narrow` says the same in fewer columns, for terminals where this one does not fit.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    foot: Sequence[str] = ()
    narrow: Table | None = None


@dataclass(frozen=True)
class Inspection:
    """What a file is, all that is in it as data, and the tables and notes that show it."""

    kind: str
    data: dict[str, Any]
    tables: Sequence[Table]
    notes: Sequence[str] = field(default=())


def inspection_of(path: Path, options: Namespace) -> Inspection:
    """Find out what a file is, by its bytes, and what is in it.

    Args:
        path: a file, or the folder of a database.
        options: phase and the like, where it is a net.

    Raises:
        UsageError: there is no such file, or it is none of Caffe's.
        CaffeError: it is one of Caffe's and does not read.
    """
    if is_database(path):
        return _database(database_facts(path))
    if path.is_dir():
        raise UsageError(f"{path}: is a folder with neither an LMDB nor a LevelDB in it")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise UsageError(f"{path}: the file is empty")
    if head.startswith(SIGNATURE):
        return _hdf5(path)
    if path.suffix.lower() in TENSORS:
        return _tensors(path)
    check_prototxt(path)
    text = _text(path, head)
    if text is None:
        return _binary(path)
    return _list(list_facts(text)) if is_list(text) else _prototxt(path, text, options)


def _text(path: Path, head: bytes) -> str | None:
    if any(byte < 9 for byte in head):
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


# Prototxts


def _prototxt(path: Path, text: str, options: Namespace) -> Inspection:
    names = {item.name for item in parse(text, str(path)).fields}
    if not names & {"layer", "layers"} and names & {"base_lr", "net", "train_net", "lr_policy"}:
        return _solver(path)
    phase = options.phase or "TRAIN"
    return net_inspection(looked_at(read_graph(str(path), options, phase), options.picture)[1])


def _solver(path: Path) -> Inspection:
    settings = read_settings(path)
    said = {name: _plain(value) for name, value in settings.record.fields.items()}
    rows = [(name, _shown(value)) for name, value in settings.record.fields.items()]
    data = {"settings": said, "unknown": settings.unknown}
    notes = [f"not in the schema: {line}" for line in settings.unknown]
    return Inspection("solver", data, [Table("Settings", ("field", "value"), rows, 2)], notes)


def _plain(value: Any) -> Any:
    if hasattr(value, "fields"):
        return {name: _plain(item) for name, item in value.fields.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, Record):
        return _shown_block(value)
    return str(value)


def _shown_block(record: Record) -> str:
    """A block in one line: its prototxt, but of a net only its size and name."""
    if record.message != "NetParameter":
        lines = write_text(record, load_schema()).splitlines()
        return " ".join(["{", *(line.strip() for line in lines), "}"])
    count = len(record.get("layer", record.get("layers", ())))
    name = f", {record['name']}" if record.get("name") else ""
    return f"a net of {count} layers{name}"


def net_inspection(facts: NetFacts) -> Inspection:
    """A net's layers with shapes, parameters, work, memory, rates and loss weights."""
    said = ("layer", "type", "top shapes", "blobs", "lr", "decay", "loss weight")
    head = (*said, "parameters", "multiply-adds", "activations")
    totals = facts.totals
    still = totals["statistics"]
    also = ("\nof them statistics", f"\n{still:,}") if still else ("", "")
    foot = (f"{totals['layers']} layers{also[0]}", facts.phase, "", "", "", "", "")
    counts = (f"{totals['parameters']:,}{also[1]}", count_text(totals["multiply_adds"]))
    sums = (*counts, bytes_text(totals["activation_bytes"]))
    title = facts.name or "net without a name"
    rows = [_layer_row(layer) for layer in facts.layers]
    narrow = Table(
        title,
        ("layer", "tops and blobs", "parameters", "mult-adds", "memory"),
        [
            (f"{row[0]}\n  {row[1]}", _tops_and_blobs(layer), *row[7:])
            for row, layer in zip(rows, facts.layers, strict=True)
        ],
        2,
        (foot[0], foot[1], *sums),
    )
    table = Table(title, head, rows, 7, (*foot, *sums), narrow)
    notes = [f"shapes are not known: {facts.problem}"] if facts.problem else []
    notes += facts.notes
    if (facts.batch or 1) > 1:
        notes.append(f"multiply-adds and activations are those of a batch of {facts.batch}")
    return Inspection("net", facts.as_data(), [table], notes)


def _layer_row(layer: LayerFacts) -> tuple[str, ...]:
    shapes = [shape_text(top.shape) if top.shape is not None else "?" for top in layer.tops]
    work = layer.multiply_adds
    return (
        layer.name or layer.key,
        layer.type,
        _repeated(shapes),
        _repeated([shape_text(blob.shape) for blob in layer.blobs]),
        _repeated([f"{blob.lr_mult:g}" for blob in layer.blobs]),
        _repeated([f"{blob.decay_mult:g}" for blob in layer.blobs]),
        ", ".join(f"{weight:g}" for weight in layer.loss_weights.values()),
        f"{layer.parameters:,}" if layer.parameters else "",
        "?" if work is None else count_text(work) if work else "",
        bytes_text(layer.activation_bytes) if layer.activation_bytes else "in place",
    )


def _tops_and_blobs(layer: LayerFacts) -> str:
    """The shapes of a layer's tops and below them those of its blobs, without spaces."""
    tops = _repeated([_tight(top.shape) for top in layer.tops])
    blobs = [
        f"  {_tight(blob.shape)} lr {blob.lr_mult:g} decay {blob.decay_mult:g}"
        for blob in layer.blobs
    ]
    losses = [f"  loss × {weight:g}" for weight in layer.loss_weights.values()]
    return "\n".join([*([tops] if tops else []), *blobs, *losses])


def _tight(shape: Shape | None) -> str:
    return "?" if shape is None else shape_text(shape).replace(" × ", "×")


def _repeated(texts: Sequence[str]) -> str:
    """Texts one under the other, many equal ones as one."""
    if len(texts) > 3 and len(set(texts)) == 1:
        return f"{len(texts)} of {texts[0]}"
    return "\n".join(texts)


# Weights, states, blobs


def _binary(path: Path) -> Inspection:
    """A binary file: by what its name says first, then by what reads it."""
    readers = {".caffemodel": _weights, ".solverstate": _state, ".binaryproto": _blob}
    first = readers.get(path.suffix.lower())
    if first is not None:
        return first(path)
    for reader in readers.values():
        try:
            found = reader(path)
        except CaffeError:
            continue
        if found.tables[-1].rows:
            return found
    wanted = "a prototxt, weights, a solver state, a blob (.binaryproto), HDF5, an LMDB, a LevelDB"
    raise UsageError(f"{path}: is none of the files that Caffe has: {wanted}")


def _tensors(path: Path) -> Inspection:
    named = tensor_facts(path)
    data = {"arrays": [{"name": name} | facts.as_data() for name, facts in named.items()]}
    rows = [(name, *number_cells(facts)) for name, facts in named.items()]
    count = sum(math.prod(facts.shape) for facts in named.values())
    foot = (f"{len(rows)} arrays", f"{count:,} numbers")
    table = _with_narrow(Table("Arrays", ("array", *NUMBERS), rows, 3, foot))
    return Inspection("arrays", data, [table])


def _hdf5(path: Path) -> Inspection:
    try:
        with h5py.File(path, "r") as file:
            if "iter" in file and "history" in file:
                return _state(path)
            if isinstance(file.get("data"), h5py.Group):
                return _weights(path)
            named: list[tuple[str, NumberFacts]] = []
            file.visititems(lambda name, item: _add(named, name, item))
    except OSError as error:
        raise DataError(f"{path}: is no whole HDF5 file: {error}") from error
    data = {"datasets": [{"name": name} | facts.as_data() for name, facts in named]}
    rows = [(name, *number_cells(facts)) for name, facts in named]
    return Inspection(
        "HDF5 data", data, [_with_narrow(Table("Datasets", ("dataset", *NUMBERS), rows, 3))]
    )


def _add(named: list[tuple[str, NumberFacts]], name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
        named.append((name, number_facts(item[()])))


def _weights(path: Path) -> Inspection:
    file = read_weights(path)
    facts = list(weight_facts(file))
    rows = [(f"{fact.layer} [{fact.index}]", *number_cells(fact.numbers)) for fact in facts]
    count = sum(math.prod(fact.numbers.shape) for fact in facts)
    foot = (f"{len(rows)} blobs", f"{count:,} numbers")
    data = {
        "format": file.format,
        "name": file.net_name,
        "parameters": count,
        "layers": [layer.name for layer in file.layers],
        "blobs": [fact.as_data() for fact in facts],
    }
    bad = sum(fact.numbers.nan + fact.numbers.infinite for fact in facts)
    notes = [f"{bad} numbers are not finite"] if bad else []
    title = f"{file.net_name or 'net without a name'} · {file.format}"
    table = _with_narrow(Table(title, ("blob", *NUMBERS), rows, 3, foot))
    return Inspection("weights", data, [table], notes)


def _state(path: Path) -> Inspection:
    state = read_state(path)
    facts = [number_facts(blob) for blob in state.history]
    data = {
        "iteration": state.iteration,
        "learned_net": state.learned_net,
        "current_step": state.current_step,
        "history": [fact.as_data() for fact in facts],
    }
    rows = [(str(i), *number_cells(fact)) for i, fact in enumerate(facts)]
    said = [(name.replace("_", " "), str(data[name])) for name in list(data)[:3]]
    tables = [
        Table("State", ("field", "value"), said, 2),
        _with_narrow(Table("History", ("blob", *NUMBERS), rows, 3, (f"{len(rows)} blobs",))),
    ]
    return Inspection("solver state", data, tables)


def _blob(path: Path) -> Inspection:
    blob = read_blob(str(path))
    whole = number_facts(blob)
    rows = [("all", *number_cells(whole))]
    channels: Iterable[Any] = blob[0] if blob.ndim == 4 and blob.shape[0] == 1 else ()
    each = [number_facts(channel) for channel in channels]
    rows += [(f"channel {i}", *number_cells(facts)) for i, facts in enumerate(each[:16])]
    data = whole.as_data() | {"channels": [facts.as_data() for facts in each]}
    table = _with_narrow(Table("Blob", ("part", *NUMBERS), rows if blob.size else (), 3))
    return Inspection("blob", data, [table])


def _with_narrow(table: Table) -> Table:
    """A table of `NUMBERS` with shape and type below the name where it does not fit."""
    rows = [
        (f"{name}\n  {shape.replace(' × ', '×')} {kind}", *numbers)
        for name, shape, kind, *numbers in table.rows
    ]
    head = (table.head[0], *table.head[3:])
    return replace(table, narrow=Table(table.title, head, rows, 1, table.foot[:1]))


def number_cells(facts: NumberFacts) -> tuple[str, ...]:
    """The statistics of an array as the cells of a row, under `NUMBERS`."""
    values = (facts.least, facts.most, facts.mean, facts.std)
    texts = ["" if value is None else f"{value:.4g}" for value in values]
    bad = [str(count) if count else "" for count in (facts.nan, facts.infinite)]
    return (shape_text(facts.shape), facts.dtype, *texts, *bad)


# Databases and lists


def _database(facts: DatabaseFacts) -> Inspection:
    said = [
        ("records", f"{facts.count:,}"),
        ("size", bytes_text(facts.bytes)),
        ("first key", facts.first_key),
        *(("shape", f"{shape_text(shape)}: {n:,}") for shape, n in facts.shapes.items()),
        *(("stored as", f"{kind}: {n:,}") for kind, n in facts.kinds.items()),
    ]
    tables, notes = _labels(facts.labels)
    tables.insert(0, Table(facts.backend, ("field", "value"), said, 2))
    if facts.looked_at < facts.count:
        notes.append(f"shapes and labels are those of the first {facts.looked_at:,} records")
    return Inspection("database", facts.as_data(), tables, notes)


def _list(facts: ListFacts) -> Inspection:
    """A text list of files: of ImageData with labels, of HDF5Data without."""
    of = f" of the first {facts.sought:,}" if facts.sought < facts.count else ""
    said = [
        ("lines", f"{facts.count:,}"),
        ("first", facts.first),
        ("numbers behind each", " or ".join(str(n) for n in facts.numbers)),
        ("not found", f"{facts.missing:,}{of}"),
    ]
    tables, notes = _labels(facts.labels)
    if facts.missing:
        notes.append("names are looked for from the current folder, without a layer's root_folder")
    tables.insert(0, Table("List of files", ("field", "value"), said, 2))
    return Inspection("list", facts.as_data(), tables, notes)


def _labels(labels: dict[int, int]) -> tuple[list[Table], list[str]]:
    """How often there is each label, as bars; nothing where there is none."""
    shown = list(labels.items())[:_MOST_LABELS]
    most = max(labels.values(), default=1)
    rows = [(str(label), "█" * max(1, round(30 * n / most)), f"{n:,}") for label, n in shown]
    foot = (f"{len(labels)} labels", "", f"{sum(labels.values()):,}")
    tables = [Table("Labels", ("label", "", "records"), rows, 2, foot)] if rows else []
    more = len(labels) - len(shown)
    return tables, [f"{more} more labels are not shown"] if more else []
