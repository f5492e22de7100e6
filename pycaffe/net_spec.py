"""NetSpec: nets written in Python, `n.conv1 = L.Convolution(n.data, num_output=20, …)`.

from caffe import layers as L, params as P
n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[1, 3, 24, 24]))
n.pool = L.Pooling(n.data, kernel_size=2, stride=2, pool=P.Pooling.MAX)
print(n.to_proto())
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from .errors import UsageError
from .proto.messages import messages_of


class Top:
    """One output of a layer, named when it is assigned to a NetSpec or written out."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """The NetParameter of this top and all that it needs."""
        return to_proto(self)


class Function:
    """A layer: its type, bottoms and parameters; `in_place`, `ntop` and `name` are its own."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: Mapping[str, Any]) -> None:
        for index, bottom in enumerate(inputs):
            if not isinstance(bottom, Top):
                raise UsageError(
                    f"{type_name}: bottom {index} must be a top of another layer, not "
                    f"{type(bottom).__name__}; parameters are given by keyword"
                )
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.ntop = int(self.params.pop("ntop", 1))
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops: tuple[Top, ...] = (
            (inputs[0],) if self.in_place else tuple(Top(self, n) for n in range(self.ntop))
        )

    def write(self, layers: Written, names: Names, counts: Counter[str]) -> None:
        """Append this layer, after those it reads, unless it is there."""
        if self in layers:
            return
        bottoms = []
        for bottom in self.inputs:
            bottom.fn.write(layers, names, counts)
            bottoms.append(layers[bottom.fn].top[bottom.n])
        layer = messages_of()["LayerParameter"](type=self.type_name)
        layer.bottom.extend(bottoms)
        layer.top.extend(bottoms[:1] if self.in_place else self._top_names(names, counts))
        layer.name = self._name(names, counts)
        for name, value in self.params.items():
            if name != "name":
                _assign_param(layer, name, value)
        layers[self] = layer

    def _name(self, names: Names, counts: Counter[str]) -> str:
        if "name" in self.params:
            return str(self.params["name"])
        return _name_of(self if self.in_place or not self.tops else self.tops[0], names, counts)

    def _top_names(self, names: Names, counts: Counter[str]) -> list[str]:
        return [_name_of(top, names, counts) for top in self.tops]


Written = OrderedDict[Function, Any]
Names = dict[Top | Function, str]


def _name_of(thing: Top | Function, names: Names, counts: Counter[str]) -> str:
    """The name it was assigned, else its type and a number."""
    if thing not in names:
        type_name = thing.type_name if isinstance(thing, Function) else thing.fn.type_name
        counts[type_name] += 1
        names[thing] = f"{type_name}{counts[type_name]}"
    return names[thing]


class NetSpec:
    """Tops by name, in the order they were assigned."""

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        tops = super().__getattribute__("tops")
        if name not in tops:
            raise AttributeError(f"the NetSpec has no top '{name}'")
        return tops[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.__setattr__(name, value)

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        """The names."""
        return list(self.tops)

    def vals(self) -> list[Any]:
        """The tops."""
        return list(self.tops.values())

    def update(self, other: Mapping[str, Any]) -> None:
        """Assign several tops."""
        self.tops.update(other)

    def to_proto(self) -> Any:
        """The NetParameter of all tops and what they need."""
        names: Names = {}
        for name, top in self.tops.items():
            names[_identity(top)] = name
        return _written(self.tops.values(), names)


def to_proto(*tops: Top | Function) -> Any:
    """The NetParameter of these tops and what they need; layers are named by type and number."""
    return _written(tops, {})


def _written(tops: Any, names: Names) -> Any:
    layers, counts = Written(), Counter[str]()
    for top in tops:
        (top.fn if isinstance(top, Top) else top).write(layers, names, counts)
    net = messages_of()["NetParameter"]()
    net.layer.extend(layers.values())
    return net


def _identity(top: Any) -> Top | Function:
    """What a name in a NetSpec names: a top, or the layer itself if that works in place."""
    if isinstance(top, _InPlace):
        return top.layer
    return top


class _InPlace(Top):
    """The top of an in-place layer: the blob is its bottom's, the name in a NetSpec its own."""

    def __init__(self, layer: Function) -> None:
        super().__init__(layer, 0)
        self.layer = layer


class Layers:
    """`layers.Convolution(bottom, num_output=20)`: any attribute is a layer type."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def made(*args: Any, **kwargs: Any) -> Any:
            layer = Function(name, args, kwargs)
            if layer.in_place:
                return _InPlace(layer)
            if layer.ntop == 0:
                return layer
            return layer.tops[0] if layer.ntop == 1 else layer.tops

        return made


class Parameters:
    """`params.Pooling.MAX`: the enums of every parameter message."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = f"{name}Parameter"
        if message not in messages_of():
            raise AttributeError(f"there is no {message}")
        return messages_of()[message]


layers = Layers()
params = Parameters()


@lru_cache
def param_name_dict() -> dict[str, str]:
    """The parameter block of each layer type that has one: Convolution → convolution."""
    fields = messages_of()["LayerParameter"].DESCRIPTOR.fields
    blocks = [field for field in fields if field.name.endswith("_param") and field.message_type]
    return {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in blocks
    }


def _assign_param(layer: Any, name: str, value: Any) -> None:
    """Set a field of the parameter block of the layer's type, else one of the layer itself."""
    block = param_name_dict().get(layer.type)
    if block is not None and not name.endswith("param"):
        inner = getattr(layer, f"{block}_param")
        if name in inner.DESCRIPTOR.fields_by_name:
            assign_proto(inner, name, value)
            return
    assign_proto(layer, name, value)


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set a field from plain Python: lists for repeated fields, dicts for messages.

    A single value for a repeated field is a list of one.

    Raises:
        UsageError: the message has no such field.
    """
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise UsageError(f"{proto.DESCRIPTOR.name} has no field '{name}'")
    target = getattr(proto, name)
    if isinstance(target, str | bytes | int | float):
        setattr(proto, name, val)
    elif hasattr(target, "DESCRIPTOR"):
        for key, item in val.items():
            assign_proto(target, key, item)
        target.SetInParent()
    else:
        _assign_repeated(target, val if isinstance(val, list | tuple) else [val])


def _assign_repeated(target: Any, values: Any) -> None:
    for value in values:
        if isinstance(value, Mapping):
            item = target.add()
            for key, inner in value.items():
                assign_proto(item, key, inner)
        else:
            target.append(value)


def uncamel(name: str) -> str:
    """HDF5Data → hdf5_data, as Caffe names types in lower case."""
    return "".join(_uncamelled(name)).lower()


def _uncamelled(name: str) -> Iterator[str]:
    for index, letter in enumerate(name):
        before = name[index - 1] if index else ""
        after = name[index + 1 : index + 2]
        starts = letter.isupper() and (
            before.islower() or before.isdigit() or (before.isupper() and after.islower())
        )
        yield f"_{letter}" if starts else letter
