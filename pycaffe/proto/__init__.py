"""`caffe.proto.caffe_pb2`: Caffe's message classes, made at run time from the schema."""

import sys

from . import messages as caffe_pb2

__all__ = ["caffe_pb2"]

sys.modules[f"{__name__}.caffe_pb2"] = caffe_pb2
