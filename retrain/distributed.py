"""Several processes that train one net: torch.distributed, with the semantics of Caffe's GPUs."""

from __future__ import annotations

import inspect
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import CaffeError, RunError, StoppedElsewhereError
from .signals import Action

_PATIENCE = timedelta(hours=6)  # rank 0 tests and saves while the others wait
_NEWS = timedelta(seconds=3)  # how long to wait for what another rank has to say
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_KEEPS_BUFFERS_ALIKE = (  # torch 2.13 has a new name for it
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)

Compute = Callable[..., Mapping[str, Tensor]]


class Ranks:
    """This process among those that train together; this class: alone.

    Each rank runs the whole solver file on a net and a device of its own, as each GPU did in
    genuine Caffe (parallel.cpp):

    * Every rank reads batches of its own, each of `batch_size`: rank r of n has batches r, r + n,
      … of the data. One iteration of n ranks sees what one rank sees with n times the batch.
    * Gradients, summed over `iter_size` passes, are added over all ranks and divided by n, before
      clipping, decay and update, which every rank makes alike. A loss that is a mean over its
      batch so has the gradient of the mean over all n batches; the rate is not scaled.
    * Rank 0 hands its weights to all at the start. It alone tests, snapshots and logs.
    * The loss that is shown, and that a rate policy sees, is the mean over the ranks. (Caffe
      showed the first GPU's. Outputs and adaptive weights are still those of rank 0.)
    * Random numbers, such as Dropout's: rank r goes on from `random_seed` + r, as in Caffe.
    * Blobs that no gradient moves stay each rank's own: BatchNorm normalises by the batch of its
      rank, and rank 0's statistics are those that are tested and saved, as in Caffe.
    """

    rank = 0
    count = 1

    def together(self, module: nn.Module) -> Compute:
        """The module so that its backward pass leaves the mean gradients of all ranks."""
        return module

    def gathering(self, now: bool) -> AbstractContextManager[None]:
        """For a forward and backward pass: whether its gradients are averaged over the ranks."""
        return nullcontext()

    def mean(self, value: float) -> float:
        """The mean of each rank's value."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether any rank has the flag set."""
        return flag

    def agreed(self, request: Action | None) -> Action | None:
        """What any rank was asked to do, a snapshot first."""
        return request

    def shared(self, text: str) -> list[str]:
        """Every rank's text, by rank."""
        return [text]

    def common_seed(self, seed: int) -> int:
        """The seed from which every rank builds its nets; below 0, none."""
        return seed

    def part_ways(self, seed: int) -> None:
        """Give each rank but the first random numbers of its own."""


class Group(Ranks):
    """This process as one of several in torch's default process group; `joined` makes it."""

    def __init__(self, store: dist.distributed_c10d.Store) -> None:
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()
        self._store = store
        self._parallel: list[DistributedDataParallel] = []
        self._stop_waits = False
        self._shares = 0

    def together(self, module: nn.Module) -> Compute:
        """The module in DistributedDataParallel; it now has rank 0's weights.

        Buffers are not kept alike (see `Ranks`). Blobs that a loss does not reach get no gradient.
        """
        if not any(p.requires_grad for p in module.parameters()):
            return module
        device = next(module.parameters()).device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        # Which blobs a loss reaches is seen anew each time; torch would have it off where all are.
        warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
        buffers: dict[str, Any] = {_KEEPS_BUFFERS_ALIKE: False}
        parallel = DistributedDataParallel(
            module, find_unused_parameters=True, gradient_as_bucket_view=True, **buffers
        )
        self._parallel.append(parallel)
        return parallel

    @contextmanager
    def gathering(self, now: bool) -> Iterator[None]:
        """Leave the block with averaged gradients, or with this rank's sums so far."""
        with ExitStack() as stack:
            for parallel in self._parallel if not now else ():
                stack.enter_context(parallel.no_sync())
            yield

    def mean(self, value: float) -> float:
        """The mean of each rank's value, in float64."""
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return total.item() / self.count

    def any(self, flag: bool) -> bool:
        """Whether any rank has the flag set."""
        return bool(_most([flag])[0])

    def agreed(self, request: Action | None) -> Action | None:
        """What any rank was asked to do: a snapshot now, a stop of the same moment at the next."""
        snapshot, stop = _most([request == "snapshot", request == "stop" or self._stop_waits])
        self._stop_waits = bool(snapshot and stop)
        if snapshot:
            return "snapshot"
        return "stop" if stop else None

    def shared(self, text: str) -> list[str]:
        """Every rank's text, by rank, on all of them."""
        self._shares += 1
        name = f"caffe-layers/shared/{self._shares}"
        self._store.set(f"{name}/{self.rank}", text)
        texts = [self._store.get(f"{name}/{rank}").decode() for rank in range(self.count)]
        self.any(False)  # all have read
        self._store.delete_key(f"{name}/{self.rank}")
        return texts

    def common_seed(self, seed: int) -> int:
        """The seed, or rank 0's choice if it is below 0: shuffled data must be cut up alike."""
        if seed >= 0:
            return seed
        return int(self.shared(str(torch.seed() % 2**31))[0])

    def part_ways(self, seed: int) -> None:
        """Rank r > 0 goes on from seed + r."""
        if self.rank > 0:
            torch.manual_seed(seed + self.rank)

    def told(self, error: Exception) -> Exception:
        """What to raise on this rank for `error`, so that all ranks together say one line of it.

        The rank that failed says it. If several fail alike, such as over one bad file, the first
        of them says it; who only lost a partner says nothing.
        """
        if isinstance(error, StoppedElsewhereError):
            return error
        lost = isinstance(error, RuntimeError) and _is_of_connection(error)
        with suppress(RuntimeError):  # the store has gone with another rank
            if lost:
                return self._lost(error)
            self._store.set(f"caffe-layers/failed/{self.rank}", str(error))
            if self.rank and self._first_says(str(error)):
                return StoppedElsewhereError(str(error))
            where = f"rank {self.rank}: " if self.rank else ""
            return _like(error, f"{where}{error}")
        return StoppedElsewhereError(str(error)) if lost else error

    def _lost(self, error: Exception) -> Exception:
        end = time.monotonic() + _NEWS.total_seconds()
        while time.monotonic() < end:
            if any(
                self._store.check([f"caffe-layers/failed/{rank}"]) for rank in range(self.count)
            ):
                return StoppedElsewhereError(str(error))
            time.sleep(0.05)
        return RunError(
            f"rank {self.rank}: another rank is gone without a word: it was killed, or the "
            f"network between them failed ({str(error).splitlines()[0]})"
        )

    def _first_says(self, text: str) -> bool:
        with suppress(RuntimeError):  # rank 0 has nothing to say
            self._store.wait(["caffe-layers/failed/0"], _NEWS)
            return self._store.get("caffe-layers/failed/0").decode() == text
        return False


ALONE = Ranks()


def is_started_with_others() -> bool:
    """Whether torchrun, `caffe` or the like started this process as one of several."""
    return all(os.environ.get(name) for name in _ENVIRONMENT) and int(os.environ["WORLD_SIZE"]) > 1


def local_rank() -> int:
    """Which of the processes on this machine this is, counted from 0."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")))


def local_count() -> int:
    """How many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process with those that were started with it, by gloo on CPUs and NCCL on GPUs.

        with joined() as ranks:  # python started by torchrun
            load_trainer("solver.prototxt", ranks=ranks).solve()

    Alone if there are no others. An error that leaves the block ends this process, and so the
    others (torchrun and `caffe` see to that): inside it becomes one that says which rank failed,
    or StoppedElsewhereError on a rank that only learns of it.
    """
    if not is_started_with_others():
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    group = Group(dist.distributed_c10d._get_default_store())
    try:
        yield group
    except (CaffeError, OSError, RuntimeError, MemoryError) as error:
        raise group.told(error) from error
    dist.destroy_process_group()


def _most(flags: list[bool]) -> list[int]:
    tensor = torch.tensor(flags, dtype=torch.int32)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return [int(flag) for flag in tensor]


def _is_of_connection(error: RuntimeError) -> bool:
    text = str(error).lower()
    words = ("gloo", "connection closed", "connection reset", "nccl", "broken pipe", "timed out")
    return isinstance(error, dist.DistError) or any(word in text for word in words)


def _like(error: Exception, text: str) -> Exception:
    """An error of the same kind with another text."""
    return type(error)(text) if isinstance(error, CaffeError) else RunError(text)
