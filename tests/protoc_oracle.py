"""protobuf's own classes for Caffe's messages, compiled by protoc: what the readers are held to."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

PROTO = Path(__file__).parent.parent / "proto" / "caffe.proto"
NVCAFFE_BLOB = """
  optional int32 raw_data_type = 10;
  optional int32 raw_diff_type = 11;
  optional bytes raw_data = 12;
  optional bytes raw_diff = 13;
"""
"""What NVCaffe adds to BlobProto; its type numbers are 0 double, 1 float, 2 half."""


def message(name: str, *, unpacked: bool = False) -> Any:
    """An empty message of this type, NVCaffe's fields of BlobProto included.

    Args:
        name: the message, without package.
        unpacked: write numbers one by one, as the first Caffe versions did.
    """
    pool = _pool(unpacked)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))()


@lru_cache
def _pool(unpacked: bool) -> descriptor_pool.DescriptorPool:
    text = PROTO.read_text(encoding="utf-8")
    head = "message BlobProto {"
    assert head in text
    text = text.replace(head, head + NVCAFFE_BLOB)
    if unpacked:
        text = text.replace("[packed = true]", "")
    with tempfile.TemporaryDirectory() as folder:
        source, compiled = Path(folder, "caffe.proto"), Path(folder, "caffe.set")
        source.write_text(text, encoding="utf-8")
        arguments = ["protoc", f"-I{folder}", f"--descriptor_set_out={compiled}", str(source)]
        assert protoc.main(arguments) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    return pool
