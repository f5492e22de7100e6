"""Curves of a run as PNG files: the loss, and the weights of layers that find their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

from .events import Ended, Event, Scored, Started, Stepped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_POINTS = 4000
"""Points kept per curve: beyond, every second one goes and the next come half as often."""


class Curves:
    """Collects losses and adaptive weights; draws them when the run is over.

    Writes `PREFIX_loss.png` and, for a net with layers such as AdaptiveWeightEucLoss,
    `PREFIX_adaptive_weights.png`.

    Args:
        prefix: folder and first part of the files' names.
        adaptive_weights: the current weights by layer and bottom.
    """

    def __init__(
        self, prefix: str, adaptive_weights: Callable[[], Mapping[str, Mapping[str, float]]]
    ) -> None:
        self._prefix = prefix
        self._adaptive_weights = adaptive_weights
        self._every = 1
        self._iterations: list[int] = []
        self._losses: list[float] = []
        self._weights: list[Mapping[str, Mapping[str, float]]] = []
        self._tests: dict[str, list[tuple[int, float]]] = {}
        self._title = ""

    @singledispatchmethod
    def __call__(self, event: Event) -> None:
        """Collect the event, if it belongs to a curve."""

    @__call__.register
    def _started(self, event: Started) -> None:
        self._title = event.net_name

    @__call__.register
    def _stepped(self, event: Stepped) -> None:
        if event.iteration % self._every:
            return
        self._iterations.append(event.iteration)
        self._losses.append(event.smoothed_loss)
        self._weights.append(self._adaptive_weights())
        if len(self._iterations) > MOST_POINTS:
            self._every *= 2
            kept = [i for i, it in enumerate(self._iterations) if it % self._every == 0]
            self._iterations = [self._iterations[i] for i in kept]
            self._losses = [self._losses[i] for i in kept]
            self._weights = [self._weights[i] for i in kept]

    @__call__.register
    def _scored(self, event: Scored) -> None:
        for output in event.outputs:
            if output.weight != 0 and len(output.values) == 1:
                loss = output.weight * output.values[0]
                name = f"test net #{event.net}: {output.name}"
                self._tests.setdefault(name, []).append((event.iteration, loss))

    @__call__.register
    def _ended(self, event: Ended) -> None:
        if not self._iterations:
            return
        self._draw_losses()
        for layer in self._weights[0]:
            self._draw_weights(layer, alone=len(self._weights[0]) == 1)

    def _draw_losses(self) -> None:
        figure, axes = _figure(self._title, "loss")
        axes.plot(self._iterations, self._losses, label="train", linewidth=1)
        for name, points in self._tests.items():
            axes.plot(*zip(*points, strict=True), label=name, marker="o", markersize=3)
        if min(self._losses) > 0:
            axes.set_yscale("log")
        axes.legend()
        figure.savefig(f"{self._prefix}_loss.png")

    def _draw_weights(self, layer: str, *, alone: bool) -> None:
        figure, axes = _figure(self._title, f"weights of {layer}")
        for bottom in self._weights[0][layer]:
            series = [weights[layer][bottom] for weights in self._weights]
            axes.plot(self._iterations, series, label=bottom, linewidth=1)
        if all(value > 0 for weights in self._weights for value in weights[layer].values()):
            axes.set_yscale("log")
        axes.legend()
        part = "" if alone else f"_{layer.replace('/', '_')}"
        figure.savefig(f"{self._prefix}_adaptive_weights{part}.png")


def _figure(title: str, what: str) -> tuple[Figure, Any]:
    """An empty figure, drawn without a screen and without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel("iteration")
    axes.set_ylabel(what)
    axes.grid(alpha=0.3)
    return figure, axes
