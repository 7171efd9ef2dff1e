"""What ranks of one machine exchange through memory: of any size, in any order, and by gloo where there is no room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stand_in import left_in_shared_memory
from torch import Tensor

from pipeline.training import collectives
from pipeline.training.collectives import gather, mean_over_ranks, world
from pipeline.training.launch import launch

SIZES = (3, 3, 40, 1, 5, 200, 200, 7)  # the room doubles, and what is smaller goes into the old one


def values(rank: int, step: int, dtype: torch.dtype) -> Tensor:
    """What ``rank`` gives in ``step``; a matrix of which it holds every other column."""
    return (torch.arange(2 * SIZES[step]).view(-1, 2)[:, 0] + 50 * rank + step).to(dtype)


def exchanges(folder: str, room: bool) -> None:
    """Every step of :data:`SIZES`, in numbers of three lengths."""
    if not room:
        collectives.SHARED = Path(folder) / "none"
    rank, ranks = world()
    board, rooms = collectives.board(), []
    assert board is not None
    for dtype in (torch.bfloat16, torch.float32, torch.int64):
        for step, size in enumerate(SIZES):
            theirs = [values(each, step, dtype) for each in range(ranks)]
            shared = board.exchange(theirs[rank])
            assert (shared is not None) == room, (dtype, size)
            assert shared is None or all(map(torch.equal, shared, theirs)), (dtype, size)
            assert torch.equal(gather(theirs[rank]), torch.cat(theirs))
            if dtype.is_floating_point:
                assert torch.equal(mean_over_ranks(theirs[rank]), torch.stack(theirs).sum(0) / ranks)
            rooms.append(board._room)
    assert rooms == sorted(rooms) and len(set(rooms)) == 4  # it grows for 3, 40 and 200 of 2 bytes, and for 200 of 8


@pytest.mark.parametrize("room", [True, False])
def test_ranks_exchange_numbers_of_any_count_and_length(tmp_path: Path, room: bool) -> None:
    launch(exchanges, 2, "cpu", str(tmp_path), room)
    assert not left_in_shared_memory()


def other_lengths(folder: str) -> None:
    """One number of 8 bytes goes into the room that three of 2 bytes made."""
    rank, ranks = world()
    for count, dtype in ((3, torch.bfloat16), (1, torch.float64), (2, torch.float32)):
        theirs = [torch.full((count,), 0.5 + each, dtype=dtype) for each in range(ranks)]
        assert torch.equal(gather(theirs[rank]), torch.cat(theirs)), dtype


def test_numbers_of_every_length_lie_where_they_may(tmp_path: Path) -> None:
    launch(other_lengths, 2, "cpu", str(tmp_path))
