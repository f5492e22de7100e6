"""The base class of the plugin's layers: caffe.Layer where there is a caffe."""

from typing import Any, List

try:
    from caffe import Layer
except ImportError:

    class Layer:  # type: ignore[no-redef] # the same four methods, where no caffe is installed
        """What Caffe gives a Python layer, as far as this package asks for it."""

        param_str = ""
        phase = 0

        def setup(self, bottom: List[Any], top: List[Any]) -> None:
            """Read the settings; called once."""

        def reshape(self, bottom: List[Any], top: List[Any]) -> None:
            """Check the bottoms and shape the tops; called before every forward."""

        def forward(self, bottom: List[Any], top: List[Any]) -> None:
            """Fill the tops' data."""

        def backward(self, top: List[Any], propagate_down: List[bool], bottom: List[Any]) -> None:
            """Fill the bottoms' diffs."""


__all__ = ["Layer"]
