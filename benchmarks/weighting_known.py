"""Published results about weightings that are cheap to repeat."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

from caffe_layers.weighting import CoV, Uncertainty

PUBLISHED = (8.587499618530273, 0.9198104739189148)
"""Standard deviations that the notebook of Kendall and Gal's code prints for its PyTorch run."""
COUNT, EPOCHS, BATCH, HIDDEN = 100, 2000, 20, 1024


class TwoOutputs(nn.Module):
    """One hidden layer, two numbers out: made in the notebook's order, for its random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, HIDDEN)
        self.first = nn.Linear(HIDDEN, 1)
        self.second = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both outputs."""
        hidden = torch.relu(self.hidden(x))
        return self.first(hidden), self.second(hidden)


def known_results() -> None:
    start = time.perf_counter()
    found = toy_regression()
    seconds = time.perf_counter() - start
    print(
        "Uncertainty on the two-output toy regression (true noise 10 and 1), standard deviations:"
    )
    print(f"  published {PUBLISHED[0]:.4f} {PUBLISHED[1]:.4f}")
    print(f"  here      {found[0]:.4f} {found[1]:.4f}  ({seconds:.0f} s)")
    print("CoV, one loss in units 1000 times as small: largest change of any weight over 200 steps")
    print(f"  {cov_in_other_units():.1e}")


def toy_regression() -> tuple[float, float]:
    """exp(s/2) of both outputs after training, as in the notebook."""
    np.random.seed(0)
    torch.manual_seed(0)
    model = TwoOutputs()
    x = np.random.randn(COUNT, 1)
    one = x * 2 + 8 + 10 * np.random.randn(COUNT, 1)
    two = x * 3 + 3 + np.random.randn(COUNT, 1)
    data = [values.astype("float32") for values in (x, one, two)]
    weighting = Uncertainty(coding="doubled")
    weighting.set_up(["one", "two"])
    adam = torch.optim.Adam([*model.parameters(), *weighting.parameters()])
    for _ in range(EPOCHS):
        order = np.arange(COUNT)
        np.random.shuffle(order)
        data = [values[order] for values in data]
        for begin in range(0, COUNT, BATCH):
            inputs, *labels = (torch.from_numpy(v[begin : begin + BATCH]) for v in data)
            adam.zero_grad()
            errors = [(p - t) ** 2 for p, t in zip(model(inputs), labels, strict=True)]
            weighting({"one": errors[0].mean(), "two": errors[1].mean()}).backward()
            adam.step()
    first, second = torch.exp(weighting.log_variance / 2).tolist()
    return first, second


def cov_in_other_units() -> float:
    """How far two CoV weightings part when one is told a loss in other units."""
    draw, worst = torch.Generator().manual_seed(0), 0.0
    plain, scaled = CoV(), CoV()
    for step in range(200):
        noise = torch.rand(3, generator=draw, dtype=torch.float64)
        losses = torch.tensor([1.0, 30.0, 0.2], dtype=torch.float64) * (noise + 100 / (step + 50))
        plain({str(i): loss for i, loss in enumerate(losses)})
        losses = losses * torch.tensor([1.0, 1e-3, 1.0])
        scaled({str(i): loss for i, loss in enumerate(losses)})
        apart = (plain.last_weights - scaled.last_weights).abs().max().item()
        worst = max(worst, apart)
    return worst
