"""`caffe upgrade_net_proto_text`: write an old prototxt anew as Caffe 1.0 has it."""

from __future__ import annotations

from argparse import Namespace

from converter.upgrade import upgrade_net

from .. import upgrading

GROUP = "legacy scripts and files"
ARGUMENTS = ("INPUT_PROTOTXT", "OUTPUT_PROTOTXT")
FLAGS = upgrading.FLAGS
EXAMPLES = ("caffe upgrade_net_proto_text old.prototxt new.prototxt",)


def run(options: Namespace) -> int:
    """Upgrade a net of V0 or V1 layers, or with old fields; the output may be the input.

    Raises:
        CaffeError: the input does not read, or the output cannot be written.
    """
    return upgrading.upgrade_text(options, "NetParameter", upgrade_net, "upgrade_net_proto_text")
