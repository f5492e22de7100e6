"""How many real nets convert: `python -m benchmarks.convert_corpus [DIR]`.

    python -m benchmarks.convert_corpus ../shared/corpus --to onnx --only deploy --results x.jsonl

Every net under DIR that builds is written as PyTorch source, as ONNX, and back to Caffe's files,
each held to the net's own numbers (what the commands themselves refuse counts as a failure):

* pytorch: the source on the same inputs, in float64, within 1e-4 of each output's largest value;
* onnx: onnx's checker, and onnxruntime within 1e-4 of each output's largest value;
* caffe: the written prototxt and caffemodel, read again, give the same outputs bit for bit;
* opencv: of nets that take no data layers, OpenCV's dnn reads these two, and agrees within 1e-4
  of each output's largest value on the deploy part (converter/exports/deploy.py): what no layer
  of type Python stands above, the layers of one phase. OpenCV knows no phases; where layers of
  both make the same blob it refuses the whole file, Caffe's own too, and has to read the part
  alone. Its Winograd convolutions, which round more than float32 sums do (ResNet-50: 1.5e-4
  instead of 2.1e-5, float64 saying that the net itself is 2.6e-5 off), are off, and no layers
  fused. Nets that are further apart (made-up weights let numbers grow until float32's rounding
  shows: ResNet-152 is 4.2e-4 off float64, OpenCV 5.3e-4) are compared once more with the weights
  of each layer scaled. "reads it; …" are nets that it reads and does not compute, or
  not as Caffe does.

Of Caffe 1.0 alone are nets with none but its layer types and fields. In phase TEST where the file
has one, else TRAIN; on made-up inputs (converter/stand_in.py) and with made-up weights where
fillers leave constants. A file's results are kept in --results as it is done, and a later run goes
on from there; --again goes through those that failed once more.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from caffe_layers.errors import CaffeError
from caffe_layers.layer import Layer
from converter.errors import ExportError
from converter.exports.caffe_files import WrittenCaffe, write_caffe
from converter.exports.deploy import deployed
from converter.exports.onnx_file import write_onnx
from converter.exports.onnx_numbers import TOLERANCE
from converter.exports.pytorch import difference, with_telling_weights, write_pytorch
from converter.graph import Graph
from converter.load import load_graph
from converter.message import unknown_fields
from converter.net import Net
from converter.stand_in import Fed, quietly_fed, with_files
from converter.weights import load_weights

from .corpus import (
    CAFFE_TYPES,
    CORPUS,
    REFUSED_BY_CAFFE,
    TooLongError,
    empty_folder,
    kind_of,
    reason_of,
    time_limit,
)

FORMATS = ("pytorch", "onnx", "caffe", "opencv")
DEFECTS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
Result = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--only", default="", help="regular expression the path must contain")
    parser.add_argument("--to", default=",".join(FORMATS), help="formats, comma-separated")
    parser.add_argument("--limit", type=int, default=0, help="take so many nets; 0 for all")
    parser.add_argument("--seconds", type=float, default=300, help="what one conversion may take")
    parser.add_argument("--caffe", action="store_true", help="nets of Caffe 1.0 alone")
    parser.add_argument("--deploy", action="store_true", help="nets without data layers alone")
    parser.add_argument("--blobs", type=float, default=0, help="at most so many million weights")
    parser.add_argument("--results", type=Path, help="keep results here, and go on from them")
    parser.add_argument("--again", action="store_true", help="what failed before once more")
    parser.add_argument("--report", action="store_true", help="only print what --results has")
    options = parser.parse_args()
    folder = options.folder.resolve()
    found = _kept(options.results)
    if not options.report:
        convert_all(folder, options, found)
    report(list(found.values()), Console(width=150, highlight=False, markup=False))
    return int(any(r["caffe_only"] and _failures(r) for r in found.values()))


def _kept(path: Path | None) -> dict[str, Result]:
    if path is None or not path.exists():
        return {}
    return {(r := json.loads(line))["path"]: r for line in path.read_text().splitlines()}


def convert_all(folder: Path, options: argparse.Namespace, found: dict[str, Result]) -> None:
    """Add every file's results to `found`."""
    files = [p for p in folder.rglob("*") if p.is_file() and _is_prototxt(p)]
    files = sorted((p for p in files if re.search(options.only, str(p))), key=_size)
    formats, done = options.to.split(","), 0
    for path in files:
        name = str(path.relative_to(folder))
        earlier = found.get(name, {"path": name, "formats": {}})
        failed = _failures(earlier) if options.again else {}
        missing = [kind for kind in formats if kind not in earlier["formats"] or kind in failed]
        if not earlier.get("deploy", True):
            missing = [kind for kind in missing if kind != "opencv"]
        if not missing or "refused" in earlier:
            continue
        result = examine(path, earlier, missing, options)
        gc.collect()
        if result is None:
            continue
        found[name] = result
        done += "refused" not in result
        if options.results is not None:
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
        print(f"{done}: {name}: {_short(result)}", file=sys.stderr, flush=True)
        if options.limit and done >= options.limit:
            return


def _is_prototxt(path: Path) -> bool:
    text = "prototxt" in path.name or path.suffix in (".pt", ".prototext")
    return text and "net" in kind_of(path) and kind_of(path) != "solver+net"


def _size(path: Path) -> int:
    return path.stat().st_size


def _short(result: Result) -> str:
    if "refused" in result:
        return f"does not build: {result['refused']}"
    told = (f"{kind} {r['reason'] or 'ok'}" for kind, r in result["formats"].items())
    return ", ".join(told)


def examine(
    path: Path, earlier: Result, formats: list[str], options: argparse.Namespace
) -> Result | None:
    """A net's results with these formats added; None if the options pass it over."""
    with warnings.catch_warnings(), empty_folder() as folder:
        warnings.simplefilter("ignore")
        result = dict(earlier)
        try:
            with time_limit(options.seconds):
                graph = with_files(_graph(path), folder)
                result |= _facts(path, graph)
                if (options.caffe and not result["caffe_only"]) or (
                    options.deploy and not result["deploy"]
                ):
                    return None
                meta = quietly_fed(graph, batch=1, fill=False).net
                result["weights"] = sum(blob.tensor.numel() for blob in meta.learnable())
                if options.blobs and result["weights"] > options.blobs * 1e6:
                    return None
                fed = quietly_fed(graph, batch=1)
        except (CaffeError, TooLongError, *DEFECTS) as error:
            return {**result, "caffe_only": False, "refused": reason_of(error)}
        result["formats"] = dict(earlier["formats"])
        for kind in formats:
            if kind != "opencv" or result["deploy"]:
                result["formats"][kind] = _tried(CONVERSIONS[kind], fed, folder, options.seconds)
        return result


def _graph(path: Path) -> Graph:
    try:
        graph = load_graph(path, phase="TEST")
        if any(node.type != "Input" for node in graph.nodes):
            return graph
    except CaffeError:
        pass
    return load_graph(path, phase="TRAIN")


def _facts(path: Path, graph: Graph) -> Result:
    types = {node.type for node in graph.nodes}
    strange = str(path).endswith(tuple(REFUSED_BY_CAFFE)) or bool(unknown_fields(graph.record))
    sources = {node.type for node in graph.nodes if not node.bottoms}
    return {
        "caffe_only": types <= CAFFE_TYPES and not strange,
        "deploy": sources <= {"Input"} and graph.phase == "TEST",
        "phase": graph.phase,
        "layers": len(graph.nodes),
    }


def _tried(conversion: Callable[[Fed, Path], float], fed: Fed, folder: Path, limit: float) -> Any:
    start, reason, apart = time.perf_counter(), "", None
    try:
        with time_limit(limit):
            apart = conversion(fed, folder)
    except CaffeError as error:
        reason = reason_of(error)
    except TooLongError:
        reason = f"takes longer than {limit:g} s"
    except MemoryError:
        reason = "needs more memory than there is"
    except (*DEFECTS, cv2.error) as error:
        reason = f"{type(error).__name__}: {reason_of(error)}"
    return {"reason": reason, "difference": apart, "seconds": time.perf_counter() - start}


# The conversions: each returns how far outputs are apart, of their largest value


def _to_pytorch(fed: Fed, folder: Path) -> float:
    return write_pytorch(fed.net, folder, fed.inputs).difference


def _to_onnx(fed: Fed, folder: Path) -> float:
    return write_onnx(fed.net, folder / "net.onnx", fed.inputs).difference


def _to_caffe(fed: Fed, folder: Path) -> float:
    net, inputs = _telling(fed), fed.inputs
    files = write_caffe(net, folder)
    graph = load_graph(files.prototxt, phase=net.plan.phase)  # type: ignore[arg-type]
    again = quietly_fed(with_files(graph, folder), batch=1).net
    load_weights(again, files.weights)
    apart = _apart(_outputs(again, inputs), _outputs(net, inputs))
    if apart:
        raise ValueError(f"read again, outputs differ by {apart:.2g}")
    return apart


def _to_opencv(fed: Fed, folder: Path) -> float:
    whole = Fed(_telling(fed), fed.inputs, fed.replaced)
    _check_read(whole, folder)
    places = _places(whole.net)
    blobs = [name for name in whole.net.plan.outputs if name in places]
    if not blobs:
        raise ExportError("reads it; all outputs come from what its Python layers make")
    part = deployed(whole, blobs)
    places = {name: places[name] for name in blobs}
    apart = _apart_in_opencv(part, places, folder)
    if not apart <= TOLERANCE:
        part = Fed(_evened(part.net, part.inputs), part.inputs, part.replaced)
        apart = _apart_in_opencv(part, places, folder)
    if not apart <= TOLERANCE:
        raise ExportError(f"reads it; outputs differ by {apart:.2g}")
    return apart


def _apart_in_opencv(part: Fed, places: Mapping[str, tuple[str, int]], folder: Path) -> float:
    theirs = _opencv(write_caffe(part.net, folder))
    theirs.enableWinograd(False)
    theirs.enableFusion(False)
    known = set(theirs.getLayerNames())  # OpenCV calls some last layers as their tops
    makers = [layer if layer in known else name for name, (layer, _) in places.items()]
    try:
        for name, blob in part.inputs.items():
            theirs.setInput(blob.numpy(), name)
        arrays = theirs.forwardAndRetrieve(makers)
    except cv2.error as error:
        raise ExportError(f"reads it; {_told(error)}") from error
    wanted = _outputs(part.net, part.inputs)
    made = {name: arrays[i][top] for i, (name, (_, top)) in enumerate(places.items())}
    found = {n: torch.from_numpy(array).reshape(wanted[n].shape) for n, array in made.items()}
    return _apart(found, {name: wanted[name] for name in places})


def _evened(net: Net, inputs: Mapping[str, Tensor]) -> Net:
    """The net with the weights of each linear layer divided by the spread of what it makes."""

    def even(layer: Layer, _: tuple[Tensor, ...], top: Tensor) -> Tensor:
        spread = top.std().item() if top.numel() > 1 else 0.0
        if not (spread > 0 and math.isfinite(spread)):
            return top
        for _name, blob in layer.blob_tensors():
            blob.data.div_(spread)
        return top / spread

    kinds = ("Convolution", "Deconvolution", "InnerProduct", "Scale")
    layers = [layer for layer in net.layers.values() if layer.layer_type in kinds]
    hooks = [layer.register_forward_hook(even) for layer in layers if layer.blob_tensors()]
    with torch.no_grad():
        net(**inputs)
    for hook in hooks:
        hook.remove()
    return net


def _check_read(fed: Fed, folder: Path) -> None:
    """See that OpenCV reads the files of the whole net, or gives the phases as the reason."""
    try:
        _opencv(write_caffe(fed.net, folder))
    except cv2.error as error:
        if not any({"include", "exclude"} & set(r) for r in fed.net.plan.record["layer"]):
            raise ExportError(_told(error)) from error


def _opencv(files: WrittenCaffe) -> Any:
    return cv2.dnn.readNetFromCaffe(str(files.prototxt), str(files.weights))


def _told(error: cv2.error) -> str:
    """What OpenCV's message says, without its version and file."""
    return " ".join(str(error).split("error: ")[-1].split())


def _places(net: Net) -> dict[str, tuple[str, int]]:
    """Layer and number of the top of each blob that only the prototxt's own inputs lead to."""
    layers = net.plan.record["layer"]
    declared = {top for layer in layers if layer["type"] == "Input" for top in layer["top"]}
    led, places = set(net.inputs) - declared, {}
    for node in net.plan.nodes:
        if not led.isdisjoint(node.bottoms):
            led.update(node.tops)
        elif node.type != "Input":
            names = [net.plan.blob_names.get(top, top) for top in node.tops]
            places.update({name: (node.name, i) for i, name in enumerate(names)})
    return places


def _telling(fed: Fed) -> Net:
    return with_telling_weights(fed.net, fed.inputs).float()


def _outputs(net: Net, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        made: dict[str, Tensor] = net(**inputs)
    return made


def _apart(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    return max((difference(found[name], wanted[name]) for name in wanted), default=0.0)


CONVERSIONS: dict[str, Callable[[Fed, Path], float]] = {
    "pytorch": _to_pytorch,
    "onnx": _to_onnx,
    "caffe": _to_caffe,
    "opencv": _to_opencv,
}


# The report


def report(results: list[Result], console: Console) -> None:
    """Nets that converted, by format; what stopped the others, by name."""
    nets = [result for result in results if "refused" not in result]
    groups = {
        "nets that build": nets,
        "of these of Caffe 1.0 alone": [r for r in nets if r["caffe_only"]],
        "of these without data layers (deploy)": [
            r for r in nets if r["caffe_only"] and r["deploy"]
        ],
    }
    table = Table("nets", "count", *FORMATS, "largest difference in ONNX")
    for title, group in groups.items():
        cells = [_counted(group, kind) for kind in FORMATS]
        done = [r["formats"]["onnx"]["difference"] for r in group if "onnx" in r["formats"]]
        worst = max((value for value in done if value is not None), default=0.0)
        table.add_row(title, str(len(group)), *cells, f"{worst:.1e}")
    console.print(table)
    console.print(f"{len(results) - len(nets)} files do not build (benchmarks/corpus.py says why)")
    table = Table("format", "Caffe 1.0 alone", "net", "why")
    for result in sorted(nets, key=lambda r: r["path"]):
        for kind, reason in _failures(result).items():
            table.add_row(kind, "yes" if result["caffe_only"] else "", result["path"], reason)
    console.print(table)


def _counted(group: list[Result], kind: str) -> str:
    tried = [r["formats"][kind]["reason"] for r in group if kind in r["formats"]]
    done = sum(not reason for reason in tried)
    read = sum(reason.startswith("reads it;") for reason in tried)
    told = f"{done} of {len(tried)}"
    return f"{told} ({done + read} read)" if kind == "opencv" else told


def _failures(result: Result) -> dict[str, str]:
    return {k: r["reason"] for k, r in result.get("formats", {}).items() if r["reason"]}


if __name__ == "__main__":
    sys.exit(main())
