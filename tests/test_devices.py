"""Which devices `caffe train` takes, and in how many processes; CUDA is made believe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from converter.record import Record
from pycaffe.devices import device_of_rank, gpu_device, process_count
from pycaffe.errors import UsageError
from pycaffe.flags import parse
from retrain.distributed import Ranks
from retrain.events import Caution, Event, Note
from retrain.settings import Settings

GPU = Settings(Record("SolverParameter", {"solver_mode": "GPU"}), solver_mode="GPU")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many GPUs there are."""

    def there_are(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return there_are


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> Ranks:
    """Rank `rank` of `count` on this machine."""
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count))
    ranks = Ranks()
    ranks.rank, ranks.count = rank, count
    return ranks


@pytest.mark.parametrize(
    ("flags", "count"),
    [([], 1), (["--gpu=1"], 1), (["--gpu=0,2"], 2), (["--gpu", "all"], 3), (["--nproc=4"], 4)],
    ids=str,
)
def test_a_process_for_each_gpu(gpus: Callable[[int], None], flags: list[str], count: int) -> None:
    gpus(3)
    assert process_count(parse(["train", *flags])) == count


@pytest.mark.parametrize(
    ("there", "flags", "message"),
    [
        (0, ["--gpu=0"], "--gpu=0: there is no CUDA device here"),
        (2, ["--gpu=0,2"], "--gpu=0,2: there are 2 GPUs, numbered from 0"),
        (2, ["--gpu=1,1"], "--gpu=1,1: name each GPU once"),
        (2, ["--gpu=0,1", "--nproc=2"], "give --gpu, which starts a process for each GPU"),
        (0, ["--nproc=0"], "--nproc=0: give 1 or more"),
        (0, ["--nproc=two"], "--nproc wants a whole number, found 'two'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_cannot_be_had_is_said(
    gpus: Callable[[int], None], there: int, flags: list[str], message: str
) -> None:
    gpus(there)
    with pytest.raises(UsageError, match=f"^{message}"):
        process_count(parse(["train", *flags]))


def test_other_verbs_take_one_gpu(gpus: Callable[[int], None]) -> None:
    gpus(2)
    assert gpu_device("1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="one GPU at a time"):
        gpu_device("all")


@pytest.mark.parametrize(
    ("flags", "rank", "count", "device", "said"),
    [
        (["--gpu=2"], 0, 1, "cuda:2", "Using GPUs 2"),
        (["--gpu=2,0"], 1, 2, "cuda:0", "Using GPUs 2, 0"),
        ([], 0, 1, "cuda:1", "Using GPUs 1"),
        ([], 1, 2, "cuda:1", "Using GPUs 0, 1"),
        (["--nproc=2"], 1, 2, "cpu", "Use CPU."),
    ],
    ids=str,
)
def test_the_device_of_a_rank(
    gpus: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    rank: int,
    count: int,
    device: str,
    said: str,
) -> None:
    gpus(3)
    events: list[Event] = []
    settings = replace(GPU, device_id=1)
    found = device_of_rank(
        parse(["train", *flags]), settings, as_rank(monkeypatch, rank, count), events.append
    )
    assert str(found) == device
    assert [event.text for event in events if isinstance(event, Note)] == [said]


def test_more_processes_than_gpus_are_refused(
    gpus: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(2)
    with pytest.raises(UsageError, match="2 GPUs for 3 processes; each needs its own"):
        device_of_rank(parse(["train"]), GPU, as_rank(monkeypatch, 2, 3), _ignore)


def test_a_device_id_that_is_not_there_is_refused(gpus: Callable[[int], None]) -> None:
    gpus(2)
    with pytest.raises(UsageError, match="device_id 2, but there are 2 GPUs"):
        device_of_rank(parse(["train"]), replace(GPU, device_id=2), Ranks(), _ignore)


def test_without_a_gpu_solver_mode_gpu_warns_and_takes_the_cpu(
    gpus: Callable[[int], None],
) -> None:
    gpus(0)
    events: list[Event] = []
    assert device_of_rank(parse(["train"]), GPU, Ranks(), events.append).type == "cpu"
    assert any("no CUDA device" in e.text for e in events if isinstance(e, Caution))


def _ignore(event: Any) -> None:
    """Watches nothing."""
