"""The corpus report: inputs it makes up for nets without data, and the outcomes it counts."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from caffe_layers.layer import Shape
from converter.load import load_graph
from converter.stand_in import quietly_fed

ROOT = Path(__file__).parent.parent
BVLC = ROOT.parent / "shared" / "corpus" / "BVLC+caffe"
BVLC_FILES = sorted(str(path.relative_to(BVLC)) for path in BVLC.rglob("*.prototxt"))

DATA = 'layer {{ name: "d" type: "{}" top: "data" top: "label" {} }}\n'
FC = (
    'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" '
    "inner_product_param { num_output: 11 } }\n"
)
CONV = (
    'layer { name: "fc" type: "Convolution" bottom: "data" top: "fc" '
    "convolution_param { num_output: 11 kernel_size: 5 } }\n"
)
LOSS = 'layer {{ name: "loss" type: "{}" bottom: "fc" bottom: "label" top: "loss" }}\n'
SOFTMAX, EUCLIDEAN = LOSS.format("SoftmaxWithLoss"), LOSS.format("EuclideanLoss")


@pytest.fixture(scope="module")
def benchmarks() -> dict[str, ModuleType]:
    """Modules of benchmarks/, which is no installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return {name: importlib.import_module(f"benchmarks.{name}") for name in ("corpus",)}


def written(folder: Path, text: str) -> Path:
    file = folder / "net.prototxt"
    file.write_text(text, encoding="utf-8")
    return file


CASES = {
    "crop_size": (
        DATA.format("Data", "transform_param { crop_size: 19 } data_param { batch_size: 7 }")
        + (FC + SOFTMAX),
        {"data": (2, 3, 19, 19), "label": (2,)},
    ),
    "nothing declared": (
        DATA.format("Data", "data_param { batch_size: 7 }") + FC + SOFTMAX,
        {"data": (2, 3, 32, 32), "label": (2,)},
    ),
    "new size, grey": (
        DATA.format("ImageData", "image_data_param { new_height: 9 new_width: 8 is_color: false }")
        + (FC + SOFTMAX),
        {"data": (2, 1, 9, 8), "label": (2,)},
    ),
    "memory": (
        DATA.format(
            "MemoryData", "memory_data_param { batch_size: 4 channels: 5 height: 6 width: 8 }"
        )
        + (FC + SOFTMAX),
        {"data": (2, 5, 6, 8), "label": (2,)},
    ),
    "labels of pixels": (
        DATA.format("HDF5Data", "hdf5_data_param { batch_size: 7 }") + CONV + SOFTMAX,
        {"data": (2, 3, 32, 32), "label": (2, 28, 28)},
    ),
    "labels like predictions": (
        DATA.format("HDF5Data", "hdf5_data_param { batch_size: 7 }") + FC + EUCLIDEAN,
        {"data": (2, 3, 32, 32), "label": (2, 11)},
    ),
    "a fork's reader": (
        DATA.format("VideoData", "") + FC + SOFTMAX,
        {"data": (2, 3, 32, 32), "label": (2,)},
    ),
    "a Python layer": (
        DATA.format("Python", 'python_param { module: "m" layer: "L" }') + CONV + EUCLIDEAN,
        {"data": (2, 3, 32, 32), "label": (2, 11, 28, 28)},
    ),
    "a picture that must be small and grey": (
        DATA.format("Data", "data_param { batch_size: 7 }")
        + 'layer { name: "r" type: "Reshape" bottom: "data" top: "r" '
        + "reshape_param { shape { dim: 0 dim: 1 dim: 784 } } }",
        {"data": (2, 1, 28, 28), "label": (2,)},
    ),
    "a batch that the net fixes": (
        DATA.format("Data", "transform_param { crop_size: 5 } data_param { batch_size: 6 }")
        + 'layer { name: "r" type: "Reshape" bottom: "data" top: "r" '
        + "reshape_param { shape { dim: 6 dim: 75 } } }",
        {"data": (6, 3, 5, 5), "label": (6,)},
    ),
    "declared inputs": (
        'input: "data" input_dim: 10 input_dim: 3 input_dim: 9 input_dim: 8\n' + FC,
        {"data": (2, 3, 9, 8)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_inputs(benchmarks: dict[str, ModuleType], tmp_path: Path, case: str) -> None:
    text, wanted = CASES[case]
    graph = load_graph(written(tmp_path, text), phase="TRAIN")
    fed = quietly_fed(graph, batch=2, fill=False)
    found: dict[str, Shape] = {name: tuple(blob.shape) for name, blob in fed.inputs.items()}
    assert found == wanted


def test_labels_are_classes(benchmarks: dict[str, ModuleType], tmp_path: Path) -> None:
    sliced = (
        'layer { name: "s" type: "Slice" bottom: "label" top: "one" top: "two" '
        "slice_param { slice_point: 1 } }\n"
    )
    data = (
        'input: "data" input_shape { dim: 9 dim: 5 } input: "label" input_shape {dim: 9 dim: 2}\n'
    )
    loss = SOFTMAX.replace('"label"', '"two"').replace('"loss"', '"l"', 1)
    graph = load_graph(written(tmp_path, data + FC + sliced + loss), phase="TRAIN")
    label = quietly_fed(graph, batch=9).inputs["label"]
    assert set(label.unique().tolist()) <= set(range(11))
    assert label.max() > 1


OUTCOMES = {
    "runs": (CASES["crop_size"][0], "backward", ""),
    "unknown type": (
        DATA.format("Data", "") + FC.replace("InnerProduct", "Warp9"),
        *("wired", "layer types not known: Warp9"),
    ),
    "no such bottom": (FC, "read", "InnerProduct: bottom 0 is 'data', which no layer"),
    "typing error": (
        FC.replace("num_output", "num_outptu"),
        *("refused", "InnerProduct: inner_product_param has no field"),
    ),
    "solver": ('net: "a.prototxt" base_lr: 0.1', "read", ""),
    "solver with its net": (
        f"base_lr: 0.1 net_param {{ {CASES['crop_size'][0]} }}",
        "backward",
        "",
    ),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcomes(benchmarks: dict[str, ModuleType], tmp_path: Path, case: str) -> None:
    text, stage, reason = OUTCOMES[case]
    corpus = benchmarks["corpus"]
    outcome = corpus.examine(written(tmp_path, text), batch=2, limit=60, meta=False)
    assert (outcome.stage, outcome.reason[: len(reason)]) == (stage, reason)
    console = Console(record=True, width=160, file=io.StringIO())
    corpus.report([outcome], tmp_path, console, every=True)
    assert "net.prototxt" in console.export_text()


@pytest.mark.parametrize("name", BVLC_FILES)
def test_caffes_own_files_build(benchmarks: dict[str, ModuleType], corpus: Path, name: str) -> None:
    path = corpus / "BVLC+caffe" / name
    outcome = benchmarks["corpus"].examine(path, batch=1, limit=60, meta=True)
    assert outcome.stage == ("read" if outcome.kind == "solver" else "built"), outcome.reason
