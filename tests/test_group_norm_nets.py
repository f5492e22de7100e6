"""The layer types that only the group-normalisation nets have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe_layers
from caffe_layers.errors import LayerError


def test_group_norm_is_the_papers_formula() -> None:
    x = np.random.default_rng(1).standard_normal((2, 6, 3, 5)).astype(np.float32) * 3 + 1
    groups = x.astype(np.float64).reshape(2, 3, -1)
    mean, variance = groups.mean(-1, keepdims=True), groups.var(-1, keepdims=True)
    wanted = ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    found = caffe_layers.GroupNorm(group_num=3)(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=2e-6)


def test_group_norm_says_when_it_must_guess() -> None:
    layer = caffe_layers.GroupNorm()
    with pytest.warns(UserWarning, match="does not say how many groups"):
        layer(torch.rand(1, 48, 2, 2))
    assert layer.group_num == 24


def test_group_norm_refuses_groups_that_do_not_divide() -> None:
    with pytest.raises(LayerError, match="group_num 4 does not divide 6 channels"):
        caffe_layers.GroupNorm(group_num=4)(torch.rand(1, 6, 2, 2))


def test_the_index_is_drawn_between_its_bounds() -> None:
    torch.manual_seed(3)
    layer = caffe_layers.DeepHumanModelMPIIGenRandIndex(
        index_lower_bound=4, index_upper_bound=6, batch_size=300
    )
    index = layer()
    assert index.shape == (300, 1)
    assert set(index.flatten().tolist()) == {4, 5, 6}


def test_maps_are_normalised() -> None:
    maps = torch.zeros(1, 1, 3, 3)
    maps[0, 0, 1, 1], maps[0, 0, 0, 2] = 3.0, 1.0
    top = caffe_layers.DeepHumanModelNormalizationResponse()(maps)
    assert top[0, 0, 1, 1] == 0.75
    assert top[0, 0, 0, 2] == 0.25
    assert top.sum() == 1


def test_the_volume_renderer_has_its_peak_at_the_joint() -> None:
    volume = caffe_layers.Gen3DHeatmapInMoreDetailV3(
        depth_dims=8, map_size=16, crop_size=64, joint_num=1, z_lower_bound=0
    )(torch.tensor([[0.45]]), torch.tensor([[5 / 16, 9 / 16]]))
    assert volume[0, 3, 9, 5] == 1
    assert volume.max() == 1
