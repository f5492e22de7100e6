"""A run for TensorBoard: `tensorboard --logdir FOLDER` shows its curves while it goes on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from .events import Displayed, Ended, Event, Output, Scored, Started, Stepped

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_SECONDS = 10


class Summaries:
    """Writes event files into the folder `PREFIX_tensorboard`, a number per curve and display.

    Curves are train/loss, train/smoothed_loss, train/rate, train/iterations_per_second,
    train/output/NAME, testI/loss and testI/output/NAME of each test net, and
    adaptive_weights/LAYER/BOTTOM. A run that starts, or is resumed, at iteration n has TensorBoard
    forget what runs before it wrote of iteration n and later (`purge_step`).

    TensorBoard's library is imported when the run starts. It writes from a thread of its own.

    Args:
        prefix: folder and first part of the new folder's name.
    """

    def __init__(self, prefix: str) -> None:
        self.folder = f"{prefix}_tensorboard"
        self._writer: SummaryWriter | None = None
        self._displayed: Displayed | None = None

    @singledispatchmethod
    def __call__(self, event: Event) -> None:
        """Write the event's numbers, if it has any."""

    @__call__.register
    def _started(self, event: Started) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            warnings.warn(f"no event files for TensorBoard: {error}", stacklevel=2)
            return
        self._writer = SummaryWriter(
            self.folder, purge_step=event.iteration, flush_secs=_FLUSH_SECONDS
        )

    @__call__.register
    def _display(self, event: Displayed) -> None:
        self._displayed = event

    @__call__.register
    def _stepped(self, event: Stepped) -> None:
        shown, self._displayed = self._displayed, None
        if shown is None:
            return
        at = event.iteration
        self._add("train/loss", event.loss, at)
        self._add("train/smoothed_loss", event.smoothed_loss, at)
        self._add("train/rate", event.rate, at)
        if shown.iterations and shown.seconds:
            self._add("train/iterations_per_second", shown.iterations / shown.seconds, at)
        self._add_outputs("train", shown.outputs, at)
        for layer, weights in shown.adaptive_weights.items():
            for bottom, weight in weights.items():
                self._add(f"adaptive_weights/{layer}/{bottom}", weight, at)

    @__call__.register
    def _scored(self, event: Scored) -> None:
        if event.loss is not None:
            self._add(f"test{event.net}/loss", event.loss, event.iteration)
        self._add_outputs(f"test{event.net}", event.outputs, event.iteration)

    @__call__.register
    def _ended(self, event: Ended) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add_outputs(self, net: str, outputs: Sequence[Output], iteration: int) -> None:
        """Single values only: a curve of a heatmap's thousands would show nothing."""
        for output in outputs:
            if len(output.values) == 1:
                self._add(f"{net}/output/{output.name}", output.values[0], iteration)

    def _add(self, name: str, value: float, iteration: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, iteration)
