"""A small net and weights for it, and what `caffe verify` says of files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from converter import load_net
from converter.exports.caffe_files import write_weights
from pycaffe.command import main

TEXT = """
name: "pair"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["verify", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def written_pair(folder: Path) -> Path:
    """The folder, with the net and weights for it in it."""
    (folder / "pair.prototxt").write_text(TEXT)
    torch.manual_seed(4)
    write_weights(load_net(folder / "pair.prototxt"), folder / "pair.caffemodel")
    return folder
