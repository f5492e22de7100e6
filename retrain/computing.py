"""How a net is computed: in half precision, compiled, in another memory format, over ranks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.split_module import split_module

from converter.net import Net

from .distributed import ALONE, Ranks
from .events import Caution, Note, Observer
from .feeding import FedNet
from .precision import Amp, as_float32, lower


@dataclass(frozen=True)
class Speed:
    """What makes a net faster and rounds its numbers otherwise: `Speed(amp="bf16")`.

    Args:
        amp: "bf16" or "fp16", half precision where `retrain.precision.lower` has it; the loss of
            fp16 is scaled (`retrain.precision.ScaledBackward`).
        compiled: by torch.compile, all that the losses depend on as one graph. If that is no
            graph it is compiled in parts, and if it can't be compiled at all it runs as it is; a
            Caution says so. Dropout draws other numbers, and `AdaptiveWeightEucLoss` reports its
            accurate sum.
        channels_last: 4-axis weights and bottoms lie in memory as N, H, W, C, which convolutions
            on GPUs with tensor cores and on some CPUs want.
    """

    amp: Amp | None = None
    compiled: bool = False
    channels_last: bool = False


PLAIN = Speed()


def set_up_computing(
    fed: FedNet,
    speed: Speed,
    *,
    ranks: Ranks = ALONE,
    observer: Observer = lambda event: None,
) -> None:
    """Have `fed.run()` compute its net so; its weights must have been filled.

    Args:
        fed: a net with what feeds it.
        speed: how.
        ranks: whose gradients are averaged.
        observer: told when the net is not compiled as wanted.
    """
    if speed == PLAIN and ranks.count == 1:
        return
    if speed.amp is not None:
        lower(fed.net, speed.amp)
    if speed.channels_last:
        _turn(fed.net)
    run = Compiled(fed.net, observer) if speed.compiled else fed.net
    computing = Computing(fed.net, run, channels_last=speed.channels_last)
    fed.compute = ranks.together(computing)


class Computing(nn.Module):
    """A net that gives float32 outputs; those without a loss weight are cut off its graph.

    Args:
        net: whose parameters this module has.
        run: what is called in its place.
        channels_last: whether bottoms are turned first.
    """

    def __init__(self, net: Net, run: Callable[..., Any], *, channels_last: bool) -> None:
        super().__init__()
        self.net = net
        self._run = (run,)  # in a tuple: no module of its own
        self._channels_last = channels_last

    def forward(self, *bottoms: Tensor) -> dict[str, Tensor]:
        """The net's outputs by name."""
        if self._channels_last:
            bottoms = tuple(map(_turned, bottoms))
        weights = self.net.loss_weights
        made: Mapping[str, Tensor] = self._run[0](*bottoms)
        return {
            name: as_float32(top) if name in weights else as_float32(top).detach()
            for name, top in made.items()
        }


class Compiled:
    """A net whose losses torch.compile turns into one graph at the first call, as far as that goes.

    What no loss depends on, such as scores that read cameras from files, is computed beside it.

    Args:
        net: compiled; its phase, weights and layers stay its own.
        observer: told how it went.
    """

    def __init__(self, net: Net, observer: Observer) -> None:
        self._net = net
        self._observer = observer
        self._run: Callable[..., Any] | None = None

    def __call__(self, *bottoms: Tensor) -> Any:
        """The net's outputs by name."""
        if self._run is None:
            return self._first(*bottoms)
        return self._run(*bottoms)

    def _first(self, *bottoms: Tensor) -> Any:
        """Compile whole, else in parts, else not at all; a failure comes before anything ran."""
        for whole, otherwise in ((True, "compiling it in parts"), (False, "running it as it is")):
            try:
                run = _compiled(self._net, whole=whole)
                made = _without_the_compilers_warnings(run, *bottoms)
            except Exception as error:
                if not _is_compilers(error):
                    raise
                reason = " ".join(str(error).split("\n\n")[0].split())
                where = "cannot be compiled as one graph" if whole else "cannot be compiled"
                name = self._net.net_name
                self._observer(Caution(f"net '{name}' {where}: {reason}; {otherwise}"))
            else:
                self._run = run
                kind = "one graph" if whole else "parts"
                self._observer(Note("net.cpp:257", f"Network compiled as {kind}."))
                return made
        self._run = self._net
        return self._net(*bottoms)


def _compiled(net: Net, *, whole: bool) -> Callable[..., Any]:
    """The net with the part that its losses depend on compiled."""
    needed = _above_losses(net)
    halves = split_module(net, net, lambda node: 0 if node in needed else 1)
    upper = halves.get_submodule("submod_0")
    halves.submod_0 = torch.compile(upper, fullgraph=whole)  # type: ignore[assignment] # a Module
    return halves


def _above_losses(net: Net) -> set[fx.Node]:
    """The nodes that tops with a loss weight depend on; all, if there is no such top."""
    (output,) = (node for node in net.graph.nodes if node.op == "output")
    made = output.args[0]
    waiting = [made[name] for name in net.loss_weights] if net.loss_weights else list(made.values())
    needed: set[fx.Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return needed


def _without_the_compilers_warnings(run: Callable[..., Any], *bottoms: Tensor) -> Any:
    """Call it; what torch's compiler warns of is how it sees its own parts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.")
        return run(*bottoms)


def _is_compilers(error: Exception) -> bool:
    """Whether the compiler fails, and not the net."""
    return isinstance(error, torch._dynamo.exc.TorchDynamoException) or any(
        part in type(error).__module__ for part in ("_inductor", "_dynamo", "triton")
    )


def _turn(net: Net) -> None:
    """Turn the weights, but for those that another layer sees in another shape."""
    lent = {
        blob.data_ptr()
        for layer in net.layers.values()
        for name, blob in layer.blob_tensors()
        if layer.borrows(name)
    }
    for blob in net.parameters():
        if blob.ndim == 4 and blob.data_ptr() not in lent:
            blob.data = _turned(blob.data)


def _turned(bottom: Tensor) -> Tensor:
    if bottom.ndim != 4:
        return bottom
    return bottom.contiguous(memory_format=torch.channels_last)
