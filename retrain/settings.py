"""What a solver file says: a SolverParameter record with Caffe's defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from converter.message import read_text_file, unknown_fields
from converter.record import Record
from converter.scalar import float32
from converter.schema import load_schema
from converter.upgrade import upgrade_solver

from .errors import SolverError
from .policies import fields_of

_OWN = ("record", "file", "unknown", "weighting")


@dataclass(frozen=True)
class Settings:
    """The fields of a SolverParameter under their own names, unset ones at Caffe's defaults.

    Rate policies read the fields they need from `record`, where "was it set" is kept. `file` is
    the solver file, if there is one; `unknown` has a line for each field that neither the schema
    nor the rate policy knows. `layer_wise_reduce` has no effect: gradients of several processes
    are always reduced while others are computed. `weighting` is the command's, before that of a
    `weighting { }` block, which `retrain.weighting_choice` reads from `record`.
    """

    record: Record
    file: Path | None = None
    unknown: tuple[str, ...] = ()
    weighting: str = ""
    net: str = ""
    net_param: Record | None = None
    train_net: str = ""
    train_net_param: Record | None = None
    test_net: tuple[str, ...] = ()
    test_net_param: tuple[Record, ...] = ()
    train_state: Record | None = None
    test_state: tuple[Record, ...] = ()
    test_iter: tuple[int, ...] = ()
    test_interval: int = 0
    test_compute_loss: bool = False
    test_initialization: bool = True
    base_lr: float = 0.0
    display: int = 0
    average_loss: int = 1
    max_iter: int = 0
    iter_size: int = 1
    lr_policy: str = ""
    momentum: float = 0.0
    momentum2: float = float32(0.999)
    rms_decay: float = float32(0.99)
    delta: float = float32(1e-8)
    weight_decay: float = 0.0
    regularization_type: Literal["L1", "L2"] = "L2"
    clip_gradients: float = -1.0
    snapshot: int = 0
    snapshot_prefix: str = ""
    snapshot_diff: bool = False
    snapshot_after_train: bool = True
    snapshot_format: str = "BINARYPROTO"
    solver_mode: str = "GPU"
    device_id: int = 0
    random_seed: int = -1
    type: str = "SGD"
    debug_info: bool = False
    weights: tuple[str, ...] = ()

    @property
    def policy_fields(self) -> dict[str, Any]:
        """What the file sets, for the rate policy: fields of forks it needs among the rest."""
        found = {name: value for name, value in self.record.fields.items() if name != "lr_policy"}
        for name in fields_of(self.lr_policy):
            given = [field.value for field in self.record.unknown if field.name == name]
            if given:
                found[name] = tuple(float32(v) if isinstance(v, float) else v for v in given)
        return found

    @property
    def label(self) -> str:
        """How messages call the solver file."""
        return str(self.file) if self.file is not None else "the solver"


def settings_of(record: Record, file: Path | None = None) -> Settings:
    """The settings in an upgraded SolverParameter record.

    Raises:
        SolverError: a value no run can use, such as iter_size 0.
    """
    names = {field.name for field in fields(Settings)} - set(_OWN)
    given = {name: record[name] for name in names if name in record}
    used = {*fields_of(record.get("lr_policy", "")), "weighting"}
    unused = tuple(field for field in record.unknown if field.name not in used)
    unknown = tuple(unknown_fields(replace(record, unknown=unused)))
    settings = Settings(record, file, unknown, **given)
    _check(settings)
    return settings


def read_settings(
    path: str | Path, *, fork: str | None = None, protos: Sequence[str | Path] = ()
) -> Settings:
    """The settings in a solver prototxt; old spellings are upgraded as Caffe does.

    Args:
        path: the solver file.
        fork: name of a shipped schema fragment, for a net inside the solver file.
        protos: further .proto files, likewise.

    Raises:
        SolverError: the file is not there, or a value no run can use.
        TextError: the file does not read; every problem with file:line:column.
    """
    file = Path(path)
    if not file.is_file():
        raise SolverError(f"solver file '{path}' is not there: check the path given to --solver")
    schema = load_schema(fork, tuple(protos))
    return settings_of(upgrade_solver(read_text_file(file, "SolverParameter", schema)), file)


def _check(settings: Settings) -> None:
    layers = [f for f in settings.record.unknown if f.name in ("layer", "layers")]
    if layers and "base_lr" not in settings.record:
        raise SolverError(
            f"{settings.label}: no solver file: it has layers. A solver file names the net's file, "
            f'as in net: "{settings.label}"'
        )
    if not settings.lr_policy:
        raise SolverError(f'{settings.label}: lr_policy is not set; add lr_policy: "fixed"')
    for name in ("average_loss", "iter_size"):
        if getattr(settings, name) < 1:
            raise SolverError(
                f"{settings.label}: {name} must be 1 or more, it is {getattr(settings, name)}"
            )
    for name in ("display", "test_interval", "snapshot", "max_iter"):
        if getattr(settings, name) < 0:
            raise SolverError(
                f"{settings.label}: {name} must not be negative, it is {getattr(settings, name)}"
            )
    if settings.regularization_type not in ("L1", "L2"):
        raise SolverError(
            f'{settings.label}: regularization_type is "L1" or "L2", '
            f'not "{settings.regularization_type}"'
        )
