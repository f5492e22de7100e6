"""Sample numbers drawn at random, under each name that has had."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection

import torch
from torch import Tensor

from ..errors import DataError
from ..layer import Shape, SourceLayer
from ._sample_files import UNSET_PATH, numbers_in
from ._split import corrected_bounds

_FIXED_FRACTION = (16806 + 282475248 * 2147483646) / 2147483646**2
"""The first number that C++'s default engine gives when it is made anew (about 0.13153778)."""


class RandomIndex(SourceLayer):
    """Sample numbers drawn at random, under each name that has had."""

    known_fixes = {
        "random_option": "every rand_generator_option draws: from 2 on it was one constant index",
        "split_typo": "the training subjects end at 1559751, not 1559571",
    }

    def __init__(
        self,
        *,
        index_lower_bound: int = 1,
        index_upper_bound: int = 10000,
        batch_size: int = 16,
        missing_index_file: str = UNSET_PATH,
        rand_generator_option: int = 0,
        reseed_each_second: bool = False,
        fixes: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.switch_on(fixes)
        bounds = index_lower_bound, index_upper_bound
        if "split_typo" in self.fixes:
            bounds = corrected_bounds(*bounds)
        self.index_lower_bound, self.index_upper_bound = bounds
        self.batch_size = batch_size
        self.missing_index_file = missing_index_file
        self.rand_generator_option = rand_generator_option
        self.reseed_each_second = reseed_each_second

    def setup(self, *bottom_shapes: Shape) -> None:
        """Check the bounds."""
        if self.index_lower_bound > self.index_upper_bound:
            raise self.error(
                f"index_lower_bound {self.index_lower_bound} is above index_upper_bound "
                f"{self.index_upper_bound}"
            )
        if not self._draws:
            warnings.warn(
                f"{self.label}: rand_generator_option {self.rand_generator_option} always gives "
                f"the index {self._constant()}; set 0 to draw",
                stacklevel=2,
            )

    def top_shapes(self, *bottom_shapes: Shape) -> tuple[Shape, ...]:
        """One index per sample."""
        return ((self.batch_size, 1),)

    def forward(self) -> Tensor:
        """Draw the next indices."""
        if self.reseed_each_second:
            torch.manual_seed(int(time.time()))
        if self._draws:
            index = self._draw()
        else:
            index = torch.full((self.batch_size, 1), self._constant(), device="cpu")
        return self.place(index.float())

    @property
    def _draws(self) -> bool:
        """Whether indices are random rather than one constant (F7)."""
        return self.rand_generator_option in (0, 1) or "random_option" in self.fixes

    def _draw(self) -> Tensor:
        bounds = self.index_lower_bound, self.index_upper_bound + 1
        index = torch.randint(*bounds, (self.batch_size, 1), device="cpu")
        missing = self._missing()
        again = torch.isin(index, missing)
        while again.any():
            index[again] = torch.randint(*bounds, (int(again.sum()),), device="cpu")
            again = torch.isin(index, missing)
        return index

    def _missing(self) -> Tensor:
        """The indices not to be drawn."""
        path = self.missing_index_file
        if path == UNSET_PATH:
            return torch.empty(0, dtype=torch.int64, device="cpu")
        count = int(numbers_in(self, path, 1)[0])
        listed = numbers_in(self, path, 1 + count)[1:]
        missing = torch.tensor(sorted(set(listed)), device="cpu").long()
        low, high = self.index_lower_bound, self.index_upper_bound
        if int(((missing >= low) & (missing <= high)).sum()) > high - low:
            raise DataError(f"{self.label}: {path} lists every index from {low} to {high}")
        return missing

    def _constant(self) -> int:
        count = self.index_upper_bound - self.index_lower_bound + 1
        return int(_FIXED_FRACTION * count + self.index_lower_bound)
