"""Write two small image classifiers, one of residual and one of inception blocks, as prototxt.

    python examples/make_classifiers.py         # writes examples/prototxt/{residual,inception}

Both take pictures of 3 x 32 x 32 and tell ten classes apart. They are written with NetSpec, as
Caffe users did: bottlenecks after He et al. 2015 (convolution, BatchNorm, Scale, ReLU), inception
blocks after Szegedy et al. 2014.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pycaffe as caffe
from pycaffe import layers as L
from pycaffe import params as P

PROTOTXT = Path(__file__).parent / "prototxt"
CLASSES = 10


def main() -> None:
    """Write both nets."""
    for name, spec in (("residual", residual()), ("inception", inception())):
        path = PROTOTXT / name / f"{name}.prototxt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'name: "{name}"\n{spec.to_proto()}', encoding="utf-8")
        print(path.relative_to(PROTOTXT.parent.parent).as_posix())


def residual() -> caffe.NetSpec:
    """Three stages of three bottlenecks."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 32, 32]})
    convolve(n, "conv1", n.data, 16, 3)
    top = n["conv1_relu"]
    for stage, channels in enumerate((32, 64, 128), 2):
        for block in "abc":
            stride = 2 if block == "a" and stage > 2 else 1
            top = bottleneck(n, f"res{stage}{block}", top, channels, stride, block == "a")
    n.pool = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    return classified(n, n.pool)


def bottleneck(
    n: caffe.NetSpec, name: str, bottom: Any, channels: int, stride: int, projected: bool
) -> Any:
    """1x1, 3x3, 1x1, added to the bottom or to its projection."""
    shortcut = bottom
    if projected:
        shortcut = convolve(n, f"{name}_shortcut", bottom, channels, 1, stride, relu=False)
    first = convolve(n, f"{name}_reduce", bottom, channels // 4, 1, stride)
    second = convolve(n, f"{name}_3x3", first, channels // 4, 3)
    third = convolve(n, f"{name}_expand", second, channels, 1, relu=False)
    n[name] = L.Eltwise(shortcut, third)
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return n[f"{name}_relu"]


def convolve(
    n: caffe.NetSpec,
    name: str,
    bottom: Any,
    channels: int,
    kernel: int,
    stride: int = 1,
    relu: bool = True,
) -> Any:
    """Convolution, BatchNorm, Scale and ReLU, the last three in place."""
    n[name] = L.Convolution(
        bottom,
        num_output=channels,
        kernel_size=kernel,
        stride=stride,
        pad=kernel // 2,
        bias_term=False,
        weight_filler={"type": "msra"},
    )
    n[f"{name}_bn"] = L.BatchNorm(n[name], in_place=True)
    n[f"{name}_scale"] = L.Scale(n[f"{name}_bn"], in_place=True, scale_param={"bias_term": True})
    if not relu:
        return n[f"{name}_scale"]
    n[f"{name}_relu"] = L.ReLU(n[f"{name}_scale"], in_place=True)
    return n[f"{name}_relu"]


def inception() -> caffe.NetSpec:
    """A stem and two stages of two inception blocks."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 32, 32]})
    top = rectified(n, "conv1", n.data, 32, 3)
    for stage, width in ((2, 1), (3, 2)):
        n[f"pool{stage - 1}"] = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        top = n[f"pool{stage - 1}"]
        for block in "ab":
            top = inception_block(n, f"inception_{stage}{block}", top, width)
    n.pool3 = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    n.drop = L.Dropout(n.pool3, dropout_ratio=0.4)
    return classified(n, n.drop)


def inception_block(n: caffe.NetSpec, name: str, bottom: Any, width: int) -> Any:
    """1x1, 3x3, 5x5 and pooled branches side by side."""
    one = rectified(n, f"{name}/1x1", bottom, 16 * width, 1)
    three = rectified(n, f"{name}/3x3_reduce", bottom, 24 * width, 1)
    three = rectified(n, f"{name}/3x3", three, 32 * width, 3)
    five = rectified(n, f"{name}/5x5_reduce", bottom, 4 * width, 1)
    five = rectified(n, f"{name}/5x5", five, 8 * width, 5)
    n[f"{name}/pool"] = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=1, pad=1)
    pooled = rectified(n, f"{name}/pool_proj", n[f"{name}/pool"], 8 * width, 1)
    n[f"{name}/output"] = L.Concat(one, three, five, pooled)
    return n[f"{name}/output"]


def rectified(n: caffe.NetSpec, name: str, bottom: Any, channels: int, kernel: int) -> Any:
    """Convolution and, in place, ReLU."""
    n[name] = L.Convolution(
        bottom,
        num_output=channels,
        kernel_size=kernel,
        pad=kernel // 2,
        weight_filler={"type": "xavier"},
    )
    head, _, tail = name.partition("/")
    n[f"{head}/relu_{tail}" if tail else f"{head}_relu"] = L.ReLU(n[name], in_place=True)
    return n[f"{head}/relu_{tail}" if tail else f"{head}_relu"]


def classified(n: caffe.NetSpec, bottom: Any) -> caffe.NetSpec:
    """Scores and probabilities of the classes."""
    filler = {"type": "xavier"}
    n.score = L.InnerProduct(bottom, num_output=CLASSES, weight_filler=filler)
    n.prob = L.Softmax(n.score)
    return n


if __name__ == "__main__":
    main()
