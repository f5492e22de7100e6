"""What several layers of this family ask of a bottom."""

from __future__ import annotations

from math import prod

from ..layer import Layer, Shape


def need_vectors(layer: Layer, shape: Shape) -> None:
    """One vector per sample, [N, D]; further axes only of size 1.

    Raises:
        LayerError: anything else. The legacy code would have read the first N·D numbers of it.
    """
    if len(shape) < 2 or prod(shape[2:]) != 1:
        raise layer.error(
            f"wants one vector per sample, [N, D], found {list(shape)}: "
            "put a Flatten layer in front of it"
        )


def need_square_maps(layer: Layer, shape: Shape) -> None:
    """Maps [N, C, S, S].

    Raises:
        LayerError: no four axes, or maps that are not square, which the legacy code would have
            read with a wrong row length.
    """
    if len(shape) != 4 or shape[2] != shape[3]:
        raise layer.error(f"wants square maps [N, C, S, S], found {list(shape)}")


def need_volumes(layer: Layer, shape: Shape, joint_num: int, depth_dims: int) -> None:
    """Cubes [N, joint_num·depth_dims, S, S].

    Raises:
        LayerError: maps that are not square, or as many channels as the parameters don't say.
    """
    need_square_maps(layer, shape)
    if shape[1] != joint_num * depth_dims:
        raise layer.error(
            f"joint_num {joint_num} × depth_dims {depth_dims} = {joint_num * depth_dims} channels "
            f"wanted, found {shape[1]} in bottom {list(shape)}"
        )


def need_equal_counts(layer: Layer, first: Shape, second: Shape, per_sample: int) -> None:
    """Two bottoms of `per_sample` numbers for each of as many samples.

    Raises:
        LayerError: another number of samples, or of numbers in one.
    """
    for shape in (first, second):
        if not shape or shape[0] != first[0] or prod(shape[1:]) != per_sample:
            raise layer.error(
                f"wants two bottoms [N, {per_sample}], found {list(first)} and {list(second)}"
            )


def need_one_index_each(layer: Layer, samples: Shape, index: Shape) -> None:
    """A bottom of N samples, and an index for each.

    Raises:
        LayerError: another number of indices.
    """
    if not samples or samples[0] != prod(index):
        raise layer.error(
            f"wants one index per sample, found samples {list(samples)} and indices {list(index)}"
        )
