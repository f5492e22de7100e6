"""A Net as an ONNX file, by torch's own exporter, held to onnxruntime's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..errors import ExportError
from ..net import Net
from ..replacing import replacing
from .blob_names import blob_titles
from .onnx_export import NEWEST_OPSET, OPSET, exported, first_axis_is_free
from .onnx_finish import finished
from .onnx_numbers import compared

LARGEST = 2**31 - 2**20
"""Bytes of weights that one file takes: protobuf's limit, with room for the graph."""


@dataclass(frozen=True, slots=True)
class WrittenOnnx:
    """What `write_onnx` wrote, and how far the file's outputs were from the net's.

    `differences` has the largest difference of each output, of the output's largest value, or of
    each blob where the layers had to be compared one by one;
    `dynamic` the inputs whose first axis may have any length; `engine` is who computed, and how.
    """

    path: Path
    nodes: int
    opset: int
    dynamic: tuple[str, ...]
    differences: Mapping[str, float]
    engine: str

    @property
    def difference(self) -> float:
        """The largest of all differences."""
        return max(self.differences.values(), default=0.0)


def write_onnx(
    net: Net, path: str | Path, inputs: Mapping[str, Tensor], *, opset: int = OPSET
) -> WrittenOnnx:
    """Write a net as ONNX, if it passes onnx's checker and computes what the net does.

    Inputs, outputs and all values between bear the names of blobs; a node's name starts with its
    layer's. The first axis is free wherever the net allows it. The metadata has the net's name and
    phase, its layers' names and types, and its loss weights.

    Args:
        net: the net; it is left as it is. Its phase is the file's.
        path: the file to write; its folder is made if it is not there.
        inputs: a batch, by blob name.
        opset: version of ONNX's operators, `OPSET` to `NEWEST_OPSET`.

    Raises:
        ExportError: torch cannot export it, or the numbers differ by more than
            `onnx_numbers.TOLERANCE`; nothing is written.
    """
    if not OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(f"opset {opset}: ONNX files are written in {OPSET} to {NEWEST_OPSET}")
    size = sum(blob.numel() * 4 for blob in net.state_dict().values())
    if size > LARGEST:
        raise ExportError(
            f"net '{net.net_name}': its weights have {size:,} bytes, an ONNX file takes {LARGEST:,}"
        )
    if all(node.type in ("Input", "Silence") for node in net.plan.nodes):
        raise ExportError(f"net '{net.net_name}': no layer of phase {net.plan.phase} computes")
    _check_names(net)
    inputs = {name: inputs[name].float() for name in net.inputs}
    plain = exported(net, inputs, opset)
    differences, engine = compared(net, plain, inputs)
    model = finished(plain, net)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return WrittenOnnx(
        path=target,
        nodes=len(model.graph.node),
        opset=opset,
        dynamic=tuple(value.name for value in model.graph.input if first_axis_is_free(value)),
        differences=differences,
        engine=engine,
    )


def _check_names(net: Net) -> None:
    """Refuse blobs that cannot be values of their own in ONNX, where each has one name for good."""
    titles = blob_titles(net.plan)
    for node in net.plan.nodes:
        for version in node.tops if node.type != "Input" else ():
            if not titles[version]:
                raise ExportError(f"{node.label}: its top has no name, which ONNX needs")
            if titles[version] in net.inputs:
                raise ExportError(
                    f"{node.label}: overwrites the net's input '{titles[version]}' in place, which "
                    "ONNX cannot say; give its top another name"
                )
