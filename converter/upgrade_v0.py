"""V0 nets → V1: `layers { layer { type: "conv" kernelsize: 3 } bottom: ... }` of early 2014.

All parameters stood flat in one message; they move to the blocks of their type. Padding layers
become the `pad` of the convolution or pooling that follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caffe_layers.caution import warn_caller

from .errors import TextError
from .record import Record

TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
BLOCKS = {
    "concat": ("concat_param", "ConcatParameter"),
    "conv": ("convolution_param", "ConvolutionParameter"),
    "data": ("data_param", "DataParameter"),
    "dropout": ("dropout_param", "DropoutParameter"),
    "hdf5_data": ("hdf5_data_param", "HDF5DataParameter"),
    "images": ("image_data_param", "ImageDataParameter"),
    "infogain_loss": ("infogain_loss_param", "InfogainLossParameter"),
    "innerproduct": ("inner_product_param", "InnerProductParameter"),
    "lrn": ("lrn_param", "LRNParameter"),
    "pool": ("pooling_param", "PoolingParameter"),
    "window_data": ("window_data_param", "WindowDataParameter"),
}
SAME = ("name", "blobs", "blobs_lr", "weight_decay")
TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
MOVES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "num_output": ("num_output", ("conv", "innerproduct")),
    "biasterm": ("bias_term", ("conv", "innerproduct")),
    "weight_filler": ("weight_filler", ("conv", "innerproduct")),
    "bias_filler": ("bias_filler", ("conv", "innerproduct")),
    "pad": ("pad", ("conv", "pool")),
    "kernelsize": ("kernel_size", ("conv", "pool")),
    "group": ("group", ("conv",)),
    "stride": ("stride", ("conv", "pool")),
    "pool": ("pool", ("pool",)),
    "dropout_ratio": ("dropout_ratio", ("dropout",)),
    "local_size": ("local_size", ("lrn",)),
    "alpha": ("alpha", ("lrn",)),
    "beta": ("beta", ("lrn",)),
    "k": ("k", ("lrn",)),
    "source": ("source", ("data", "hdf5_data", "images", "window_data", "infogain_loss")),
    "batchsize": ("batch_size", ("data", "hdf5_data", "images", "window_data")),
    "rand_skip": ("rand_skip", ("data", "images")),
    "shuffle_images": ("shuffle", ("images",)),
    "new_height": ("new_height", ("images",)),
    "new_width": ("new_width", ("images",)),
    "concat_dim": ("concat_dim", ("concat",)),
    "det_fg_threshold": ("fg_threshold", ("window_data",)),
    "det_bg_threshold": ("bg_threshold", ("window_data",)),
    "det_fg_fraction": ("fg_fraction", ("window_data",)),
    "det_context_pad": ("context_pad", ("window_data",)),
    "det_crop_mode": ("crop_mode", ("window_data",)),
}
LISTS = ("pad", "kernel_size", "stride")
"""Fields of which convolution_param takes several."""


def upgrade_v0(net: Record) -> Record:
    """The net with all its V0 layers as V1 layers.

    Raises:
        TextError: an unknown V0 type, or a padding layer that no convolution or pooling follows.
    """
    return net.having(layers=tuple(_layer(layer) for layer in _fold_padding(net)))


def _fold_padding(net: Record) -> list[Record]:
    """The net's layers without the padding ones, whose `pad` goes to the layer that reads them."""
    maker: dict[str, Record] = {}
    kept = []
    for layer in net["layers"]:
        if _type(layer) != "padding":
            folded = layer
            for blob in layer.get("bottom", ()):
                if blob in maker and _type(maker[blob]) == "padding":
                    folded = _padded(folded, maker[blob])
            kept.append(folded)
        maker.update(dict.fromkeys(layer.get("top", ()), layer))
    return kept


def _padded(layer: Record, padding: Record) -> Record:
    single = all(
        len(part) == 1
        for part in (layer.get("bottom", ()), padding.get("bottom", ()), padding.get("top", ()))
    )
    if _type(layer) not in ("conv", "pool") or not single:
        raise TextError(
            f"{padding.where}: a V0 padding layer feeds {_label(layer)}: it can only be read by a "
            "conv or pool layer, with one bottom and one top each. Write the pad there"
        )
    inner = layer["layer"].having(pad=padding["layer"].get("pad", 0))
    return layer.having(layer=inner, bottom=padding["bottom"])


def _layer(layer: Record) -> Record:
    """One V1 layer from the V0 layer inside; a layer that has none is V1 already."""
    old = layer.get("layer")
    if old is None:
        return layer
    kind = _type(layer)
    fields: dict[str, Any] = {name: old[name] for name in SAME if name in old}
    blocks: dict[str, dict[str, Any]] = {}
    for name, value in old.fields.items():
        if name == "type":
            fields["type"] = _new_type(layer, value)
        elif name == "hdf5_output_param" and kind == "hdf5_output":
            fields[name] = value
        elif name in TRANSFORM:
            blocks.setdefault("transform_param", {})[TRANSFORM[name]] = value
        elif name in MOVES and kind in MOVES[name][1]:
            new = MOVES[name][0]
            listed = kind == "conv" and new in LISTS
            blocks.setdefault(BLOCKS[kind][0], {})[new] = (value,) if listed else value
        elif name not in SAME:
            _lost(layer, name)
    messages = {**dict(BLOCKS.values()), "transform_param": "TransformationParameter"}
    for block, inner in blocks.items():
        fields[block] = Record(messages[block], inner, old.where)
    unknown = layer.unknown + old.unknown
    kept = layer.without("layer").having(**fields)
    return Record(kept.message, kept.fields, old.where, unknown, old.lines, old.offsets)


def _new_type(layer: Record, kind: str) -> str:
    if kind not in TYPES:
        raise TextError(
            f"{_place(layer)}{_label(layer)}: the V0 format has no type '{kind}'; it has "
            + ", ".join(sorted(TYPES))
        )
    return TYPES[kind]


def _lost(layer: Record, name: str) -> None:
    warn_caller(
        f"{_place(layer)}{_label(layer)}: '{name}' means nothing to this type; "
        "Caffe's upgrade drops it, and so it is dropped here",
    )


def _type(layer: Record) -> str:
    return layer["layer"].get("type", "") if "layer" in layer else ""


def _label(layer: Record) -> str:
    name = layer["layer"].get("name", "") if "layer" in layer else layer.get("name", "")
    return f"layer '{name}' ({_type(layer)})"


def _place(layer: Record) -> str:
    return f"{layer.where}: " if layer.where is not None else ""
