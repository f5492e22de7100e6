"""What a person would leave out: shapes made that the next op takes back."""

from __future__ import annotations

from dataclasses import replace

from .program import Op, uses

_FLAT = "{0}.flatten(1)"
_POOLED = (", keepdim=True)", ")")


def lighter(ops: list[Op], kept: set[str]) -> list[Op]:
    """The ops with each flattening said once, and global pooling straight to rows.

    Args:
        ops: in order.
        kept: values that the net gives.
    """
    return _pooled_to_rows(_flattened_once(ops), kept)


def _flattened_once(ops: list[Op]) -> list[Op]:
    """A layer that flattens its input reads what was flattened already."""
    made: list[Op] = []
    flat: dict[str, str] = {}
    for op in ops:
        if op.call.target == _FLAT and not op.call.detached:
            flat[op.inputs[0]] = op.outputs[0]
        if op.call.flatten and op.inputs[0] in flat:
            call = replace(op.call, flatten=False)
            op = replace(op, call=call, inputs=(flat[op.inputs[0]], *op.inputs[1:]))
        made.append(op)
    return made


def _pooled_to_rows(ops: list[Op], kept: set[str]) -> list[Op]:
    """Global pooling whose result is only flattened, at most after dropout, keeps no axes."""
    read, readers = uses(ops, kept), {value: i for i, op in enumerate(ops) for value in op.inputs}
    made = list(ops)
    for i, op in enumerate(ops):
        if not op.call.target.endswith(_POOLED[0]) or op.call.form == "module":
            continue
        value = op.outputs[0]
        while read.get(value) == 1 and value in readers:
            k = readers[value]
            if ops[k].call.flatten:
                made[i] = _without_axes(op)
                made[k] = replace(made[k], call=replace(made[k].call, flatten=False))
            if ops[k].call.target != "nn.Dropout":
                break
            value = ops[k].outputs[0]
    return made


def _without_axes(op: Op) -> Op:
    target = op.call.target.removesuffix(_POOLED[0]) + _POOLED[1]
    return replace(op, call=replace(op.call, target=target))
