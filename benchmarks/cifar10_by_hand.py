"""CIFAR-10 quick as one would write it in PyTorch alone: the rival of benchmarks/train.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from converter.blob import read_blob

BYTES = 3 * 32 * 32


class Images(Dataset[tuple[Tensor, int]]):
    """Image less mean, and label, of each record of an LMDB of 3 × 32 × 32 Datums.

    All records have their pixels and their label at the same bytes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder / "train_lmdb")
        self.mean = torch.from_numpy(
            np.array(read_blob(str(folder / "mean.binaryproto")), np.float32).reshape(3, 32, 32)
        )
        self.environment: Any = None
        with lmdb.open(self.folder, readonly=True, lock=False) as environment:
            self.count = environment.stat()["entries"]
            with environment.begin() as transaction:
                record = transaction.get(b"%08d" % 0)
        self.start = record.index(b"\x22\x80\x18") + 3  # field 4, 3072 bytes long

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if self.environment is None:
            self.environment = lmdb.open(self.folder, readonly=True, lock=False)
        with self.environment.begin() as transaction:
            record = transaction.get(b"%08d" % index)
        pixels = np.frombuffer(record, np.uint8, BYTES, self.start).reshape(3, 32, 32)
        return torch.from_numpy(pixels.astype(np.float32)) - self.mean, record[
            self.start + BYTES + 1
        ]


class ByHand:
    """The net, its optimizer and a DataLoader with one worker."""

    batch = 100

    def __init__(self, folder: str) -> None:
        torch.manual_seed(2018)
        self.net = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.ReLU(),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(1024, 64),
            nn.Linear(64, 10),
        )
        self.loss = nn.CrossEntropyLoss()
        self.solver = torch.optim.SGD(
            self.net.parameters(), lr=0.001, momentum=0.9, weight_decay=0.004
        )
        self.loader = DataLoader(
            Images(Path(folder)),
            self.batch,
            num_workers=1,
            prefetch_factor=4,
            persistent_workers=True,
        )
        self.batches = iter(self.loader)

    def step(self, count: int) -> float:
        """Make steps; returns the seconds for which they waited for data."""
        waited = 0.0
        for _ in range(count):
            start = time.perf_counter()
            data, label = self.next()
            waited += time.perf_counter() - start
            self.solver.zero_grad()
            loss = self.loss(self.net(data), label)
            loss.backward()
            self.solver.step()
            loss.item()
        return waited

    def next(self) -> list[Tensor]:
        """The next batch, round and round."""
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)
