"""What happens in a run, as plain data told to whoever watches: log, progress bar, curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Output:
    """A top nobody reads: its values, and its loss weight (0 for none)."""

    name: str
    values: Sequence[float]
    weight: float = 0.0


@dataclass(frozen=True)
class Note:
    """Something worth a line; `source` is where genuine Caffe says it."""

    source: str
    text: str


@dataclass(frozen=True)
class Caution:
    """Something the user should look at; the run goes on."""

    text: str


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on at `iteration`."""

    net_name: str
    lr_policy: str
    iteration: int
    max_iter: int


@dataclass(frozen=True)
class Displayed:
    """The loss and outputs of a displayed iteration; its update follows.

    `iterations` were made in the `seconds` since the last display, `interval` is the solver's.
    `adaptive_weights` has the weights of each layer that finds its own, by layer and bottom.
    """

    iteration: int
    smoothed_loss: float
    iterations: int
    seconds: float
    interval: int
    outputs: Sequence[Output]
    adaptive_weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rated:
    """The learning rate of a displayed iteration."""

    iteration: int
    rate: float


@dataclass(frozen=True)
class Stepped:
    """An update was made: the loss before it, the smoothed loss, the rate it used."""

    iteration: int
    loss: float
    smoothed_loss: float
    rate: float


@dataclass(frozen=True)
class Scoring:
    """A test net is about to run."""

    iteration: int
    net: int


@dataclass(frozen=True)
class Scored:
    """A test net's outputs, each the mean over its batches; `loss` only if it was asked for."""

    iteration: int
    net: int
    outputs: Sequence[Output]
    loss: float | None = None


@dataclass(frozen=True)
class Saving:
    """A snapshot is about to be written to these two files."""

    weights: str
    state: str


@dataclass(frozen=True)
class Ended:
    """The run is over, well or not."""


Event = Note | Caution | Started | Displayed | Rated | Stepped | Scoring | Scored | Saving | Ended
Observer = Callable[[Event], None]
"""Whoever watches a run: called with each event, in order."""


class Observers:
    """Tells each event to several observers in turn."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def __call__(self, event: Event) -> None:
        """Tell them."""
        for observer in self._observers:
            observer(event)
