"""Modules that a source file of their name would hide from imports in its folder."""

from __future__ import annotations

import sys

_OF_TORCH = (
    *("torch", "functorch", "torchgen", "triton", "nvidia", "numpy", "filelock", "sympy", "mpmath"),
    *("typing_extensions", "networkx", "jinja2", "markupsafe", "fsspec", "optree", "opt_einsum"),
    *("setuptools", "pkg_resources", "packaging", "certifi", "yaml", "distutils"),
)
_OF_CAFFE_LAYERS = (
    *("caffe_layers", "converter", "retrain", "pycaffe", "caffe", "google"),
    *("cv2", "h5py", "lmdb", "onnx"),
)
_HIDDEN = sys.stdlib_module_names.union(_OF_TORCH, _OF_CAFFE_LAYERS, ["safetensors"])


def hiding_none(name: str) -> str:
    """What a source file is called: the name, with `_` behind it if a module has that name."""
    return f"{name}_" if name in _HIDDEN else name
