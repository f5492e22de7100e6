"""The random number generators of a run, as plain data: torch's, numpy's and Python's."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_state() -> dict[str, Any]:
    """Where the global generators stand, those of CUDA devices too if CUDA is in use."""
    version, numbers, gauss = random.getstate()
    numpys = np.random.get_state(legacy=False)
    assert isinstance(numpys, dict)  # what legacy=False gives
    key = numpys["state"]["key"].tolist()
    state = {
        "torch": generator_text(torch.get_rng_state()),
        "numpy": {**numpys, "state": {**numpys["state"], "key": key}},
        "python": [version, list(numbers), gauss],
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # torch types it so
        state["cuda"] = [generator_text(device) for device in torch.cuda.get_rng_state_all()]
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators where `random_state` found them; CUDA's as far as devices are there."""
    torch.set_rng_state(generator_from_text(state["torch"]))
    np.random.set_state(state["numpy"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    if torch.cuda.is_available():
        devices, states = range(torch.cuda.device_count()), state.get("cuda", ())
        for device, text in zip(devices, states, strict=False):
            torch.cuda.set_rng_state(generator_from_text(text), device)


def generator_text(state: Tensor) -> str:
    """The state of a torch generator as text."""
    return base64.b64encode(state.numpy().tobytes()).decode()


def generator_from_text(text: str) -> Tensor:
    """The state that `generator_text` was given."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
