"""Made-up pictures: the first size with which a net fits together and can be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.load import load_graph
from converter.stand_in import quietly_fed

NET = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "nowhere.txt" batch_size: 1 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 16 stride: 16 } }
"""
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }'


@pytest.mark.parametrize(
    ("layers", "batch", "size"),
    [(NET, 1, 32), (NET + NORM, 1, 64), (NET + NORM, 4, 32)],
    ids=["no statistics", "of 2 x 2", "of 4 x 2 x 2"],
)
def test_statistics_are_of_16_numbers_at_least(
    layers: str, batch: int, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(layers)
    fed = quietly_fed(load_graph(path, phase="TRAIN"), batch=batch)
    assert fed.inputs["data"].shape == (batch, 3, size, size)


def test_a_net_that_never_has_so_many_gets_the_first_size(tmp_path: Path) -> None:
    pool = 'layer { name: "p" type: "Pooling" bottom: "conv" top: "p" '
    pool += "pooling_param { pool: AVE global_pooling: true } }"
    path = tmp_path / "net.prototxt"
    path.write_text(NET + pool + NORM.replace('"conv"', '"p"'))
    fed = quietly_fed(load_graph(path, phase="TRAIN"), batch=1)
    assert fed.inputs["data"].shape == (1, 3, 32, 32)
