"""V1 nets → V2: `layers { type: CONVOLUTION }` of 2014 → `layer { type: "Convolution" }`.

Types become strings; blobs_lr, weight_decay, param and blob_share_mode become `param` blocks;
the fields of data layers that say how images are transformed move to transform_param.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from caffe_layers.caution import warn_caller

from .record import Record

TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
PARAMS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
DATA_BLOCKS = {
    "DATA": ("data_param", "DataParameter"),
    "IMAGE_DATA": ("image_data_param", "ImageDataParameter"),
    "WINDOW_DATA": ("window_data_param", "WindowDataParameter"),
}
TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_transform(net: Record) -> Record:
    """A V1 net whose data layers say in transform_param how images are transformed."""
    layers = net.get("layers", ())
    if not any(_transform_fields(layer) for layer in layers):
        return net
    return net.having(layers=tuple(_move_transform(layer) for layer in layers))


def _transform_fields(layer: Record) -> dict[str, Any]:
    block = layer.get(DATA_BLOCKS.get(layer.get("type", ""), ("", ""))[0])
    return {} if block is None else {name: block[name] for name in TRANSFORM if name in block}


def _move_transform(layer: Record) -> Record:
    if layer.get("type") not in DATA_BLOCKS:
        return layer
    name, message = DATA_BLOCKS[layer["type"]]
    block = layer.get(name, Record(message, {}, layer.where))
    transform = layer.get("transform_param", Record("TransformationParameter", {}, block.where))
    moved = transform.having(**_transform_fields(layer))
    return layer.having(**{name: block.without(*TRANSFORM), "transform_param": moved})


def upgrade_v1(net: Record) -> Record:
    """The net with its V1 `layers` as V2 `layer`."""
    if "layer" in net:
        warn_caller(
            f"{net['layer'][0].where}: the net has both 'layers' (old) and 'layer' (new); Caffe's "
            f"upgrade drops the {len(net['layer'])} new ones, and so they are dropped here",
        )
    return net.without("layers").having(layer=tuple(_layer(each) for each in net["layers"]))


def _layer(old: Record) -> Record:
    fields = {
        name: value for name, value in old.fields.items() if name not in PARAMS and name != "layer"
    }
    unknown = old.unknown
    if "type" in fields:
        fields["type"] = _new_type(fields["type"])
    for field in unknown:
        if field.name == "type" and isinstance(field.value, str):  # a value its enum did not know
            fields["type"] = _new_type(field.value)
            unknown = tuple(each for each in unknown if each is not field)
    params = _params(old)
    if params:
        fields["param"] = params
    return replace(old, message="LayerParameter", fields=fields, unknown=unknown)


def _new_type(kind: str) -> str:
    """Caffe's new name; that of a type which only a fork's V1 knew, in camel case."""
    if kind in TYPES:
        return TYPES[kind]
    return "".join(word.capitalize() for word in kind.split("_"))


def _params(old: Record) -> tuple[Record, ...]:
    specs: list[dict[str, Any]] = []
    for name, new in PARAMS.items():
        for i, value in enumerate(old.get(name, ())):
            if i == len(specs):
                specs.append({})
            specs[i][new] = value
    return tuple(Record("ParamSpec", spec, old.where) for spec in specs)
