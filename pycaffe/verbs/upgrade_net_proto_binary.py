"""`caffe upgrade_net_proto_binary`: write an old .caffemodel anew as Caffe 1.0 has it."""

from __future__ import annotations

from argparse import Namespace

from converter.upgrade_binary import upgrade_caffemodel
from retrain.log import Log

from .. import upgrading

GROUP = "legacy scripts and files"
ARGUMENTS = ("INPUT_CAFFEMODEL", "OUTPUT_CAFFEMODEL")
FLAGS = upgrading.FLAGS
EXAMPLES = ("caffe upgrade_net_proto_binary old.caffemodel new.caffemodel",)


def run(options: Namespace) -> int:
    """Upgrade the layers, leave their weights byte for byte; the output may be the input.

    Raises:
        CaffeError: the input does not read, or the output cannot be written.
    """
    source, target = options.arguments
    changed = upgrade_caffemodel(source, target, upgrading.schema_of(options))
    tool, message = "upgrade_net_proto_binary", "NetParameter"
    upgrading.say(Log(), tool, message, source, target, changed=changed, kind="binary")
    return 0
