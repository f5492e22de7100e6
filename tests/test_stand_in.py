"""Made-up pictures: the first size with which a net fits together and can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from converter import stand_in
from converter.graph import Graph
from converter.load import load_graph
from converter.net import Net
from converter.stand_in import quietly_fed

Phase = Literal["TRAIN", "TEST"]
NET = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "nowhere.txt" batch_size: 1 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 16 stride: 16 } }
"""
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }'


POOL = """layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize(
    ("layers", "size"), [(NET, 32), (NET + NORM, 64)], ids=["no statistics", "of 2 x 2"]
)
def test_maps_that_are_normalised_have_16_places_at_least(
    layers: str, size: int, phase: Phase, batch: int, tmp_path: Path
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(layers)
    fed = quietly_fed(load_graph(path, phase=phase), batch=batch)
    assert fed.inputs["data"].shape == (batch, 3, size, size)


def test_maps_of_one_place_take_no_larger_picture_and_no_second_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    whole = stand_in.build_net

    def count(graph: Graph, **settings: Any) -> Net:
        built.append(graph)
        return whole(graph, **settings)

    monkeypatch.setattr(stand_in, "build_net", count)
    path = tmp_path / "net.prototxt"
    path.write_text(NET + POOL + NORM.replace('"conv"', '"pool"'))
    fed = quietly_fed(load_graph(path, phase="TRAIN"), batch=1)
    assert fed.inputs["data"].shape == (1, 3, 32, 32)
    assert len(built) == 1
