"""Where decoded images stay: on the device, in the host's memory, or nowhere. Equal squares of bytes from all three."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.engine import progress
from pipeline.training import views
from pipeline.training.batches import Data

MODES = ("device", "host", "none")
UNKNOWN = 2**16  # pixels of an image whose size the data does not tell


class Squares(Protocol):
    """What a feed cuts its batches from."""

    def squares(
        self, places: NDArray[np.int64], crop: int, draws: views.Draws, official: bool
    ) -> tuple[Tensor, Tensor]:
        """uint8 [n, M, M, 3] and [n, 2 M, 2 M, 3] of the images at ``places``, as :func:`views.cut` has them."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class HostImages:
    """Images decoded by ``readers`` threads (the codecs release the interpreter lock): each time, with ``keep`` once.

    ``pin`` makes batches in page-locked memory, from which a GPU copies on its own.
    """

    def __init__(self, data: Data, rows: NDArray[np.int64], *, keep: bool, readers: int = 1, pin: bool = False) -> None:
        self._data, self._rows, self._keep, self._pin = data, rows, keep, pin
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._pool = ThreadPoolExecutor(readers, "decode") if readers > 1 else None

    def squares(
        self, places: NDArray[np.int64], crop: int, draws: views.Draws, official: bool
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Squares`; in the host's memory."""
        full = torch.empty((len(places), crop, crop, 3), dtype=torch.uint8, pin_memory=self._pin)
        half = torch.empty((len(places), 2 * crop, 2 * crop, 3), dtype=torch.uint8, pin_memory=self._pin)
        full_bytes, half_bytes = full.numpy(), half.numpy()

        def fill(row: int) -> None:
            image = self._image(int(places[row]))
            full_bytes[row], half_bytes[row] = views.cut(image, crop, draws, row, official)

        for _ in self._pool.map(fill, range(len(places))) if self._pool else map(fill, range(len(places))):
            pass
        return full, half

    def close(self) -> None:
        """End the readers."""
        if self._pool:
            self._pool.shutdown()

    def _image(self, place: int) -> NDArray[np.uint8]:
        image = self._kept.get(place)
        if image is None:
            image = self._data.image(int(self._rows[place]))
            if self._keep:
                self._kept[place] = image
        return image


class DeviceImages:
    """All images on the device, decoded once at the start by ``readers`` threads; those of one size make one tensor.

    A step's squares are then gathered there, on a stream of their own beside the steps', and no bytes go over the bus.
    """

    def __init__(
        self, data: Data, rows: NDArray[np.int64], shapes: NDArray[np.int32], device: torch.device, readers: int = 1
    ) -> None:
        sizes, self._stack_of = np.unique(shapes, axis=0, return_inverse=True)
        self._stack_of = self._stack_of.reshape(-1)
        self._row_of = np.empty(len(rows), np.int64)
        self._stacks: list[Tensor] = []
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        for stack, size in enumerate(sizes):
            members = np.flatnonzero(self._stack_of == stack)
            self._row_of[members] = np.arange(len(members))
            self._stacks.append(torch.empty((len(members), *map(int, size), 3), dtype=torch.uint8, device=device))

        def load(place: int) -> None:
            image = torch.from_numpy(data.image(int(rows[place])))
            self._stacks[self._stack_of[place]][self._row_of[place]].copy_(image)

        with ThreadPoolExecutor(readers, "decode") as pool:
            for _ in progress(pool.map(load, range(len(rows))), total=len(rows), describe="images to the device"):
                pass
        if self._stream:
            torch.cuda.synchronize(device)

    def squares(
        self, places: NDArray[np.int64], crop: int, draws: views.Draws, official: bool
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Squares`; on the device."""
        if self._stream is None:
            return self._squares(places, crop, draws, official)
        with torch.cuda.stream(self._stream):
            squares = self._squares(places, crop, draws, official)
        self._stream.synchronize()  # waits for these copies and not for the steps that are queued
        for part in squares:
            part.record_stream(torch.cuda.default_stream(part.device))  # where the step reads them
        return squares

    def close(self) -> None:
        """Nothing was started."""

    def _squares(
        self, places: NDArray[np.int64], crop: int, draws: views.Draws, official: bool
    ) -> tuple[Tensor, Tensor]:
        device = self._stacks[0].device
        full = torch.empty((len(places), crop, crop, 3), dtype=torch.uint8, device=device)
        half = torch.empty((len(places), 2 * crop, 2 * crop, 3), dtype=torch.uint8, device=device)
        for stack in np.unique(self._stack_of[places]):
            chosen = np.flatnonzero(self._stack_of[places] == stack)
            images, rows = self._stacks[stack], self._row_of[places[chosen]]
            size = (int(images.shape[1]), int(images.shape[2]))
            corners = np.array([views.corners(size, crop, draws, int(row), official) for row in chosen])  # [n, 2, 2]
            whole = (size[0] // 2 * 2, size[1] // 2 * 2) if official else size
            where = torch.from_numpy(chosen).to(device)
            full[where] = _gathered(images, rows, corners[:, 0], crop, size, official)
            half[where] = _gathered(images, rows, corners[:, 1], 2 * crop, whole, official)
        return full, half


class Choice(NamedTuple):
    """How images are kept, and why not as was wished, if so."""

    mode: str
    reason: str = ""


def choose(wanted: str, needed: int, device_free: int, host_free: int) -> Choice:
    """``wanted``, or the next of device, host, none that ``needed`` bytes of images fit in."""
    room = {"device": device_free, "host": host_free, "none": needed}
    reasons: list[str] = []
    for mode in MODES[MODES.index(wanted) :]:
        if needed <= room[mode]:
            return Choice(mode, "; ".join(reasons))
        reasons.append(f"{needed / 1e9:.1f} GB of images do not fit in {room[mode] / 1e9:.1f} GB of the {mode}")
    raise AssertionError("none always fits")


def image_shapes(data: Data, rows: NDArray[np.int64]) -> NDArray[np.int32] | None:
    """Heights and widths of ``rows``, [n, 2], where the data tells them."""
    shapes: NDArray[np.int32] | None = getattr(data, "shapes", None)
    return None if shapes is None else shapes[rows]


def bytes_of(shapes: NDArray[np.int32] | None, count: int) -> int:
    """Bytes of ``count`` decoded images."""
    return 3 * (count * UNKNOWN if shapes is None else int(shapes.astype(np.int64).prod(1).sum()))


def _gathered(
    images: Tensor, rows: NDArray[np.int64], corners: NDArray[np.int64], side: int, size: tuple[int, int], black: bool
) -> Tensor:
    """Squares [n, side, side, 3] of ``images``, mirrored at their edges or black beyond them, as views.cut's."""
    places, inside = zip(*(_along(corners[:, axis], side, size[axis], black) for axis in (0, 1)), strict=True)
    move: Callable[[NDArray[np.int64]], Tensor] = lambda array: torch.from_numpy(array).to(images.device)  # noqa: E731
    squares = images[move(rows)[:, None, None], move(places[0])[:, :, None], move(places[1])[:, None, :]]
    if black and not (inside[0].all() and inside[1].all()):
        there = inside[0][:, :, None] & inside[1][:, None, :]
        squares = squares * torch.from_numpy(there[..., None]).to(images.device)
    return squares


def _along(first: NDArray[np.int64], side: int, size: int, black: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where ``side`` pixels from ``first`` on are read, [n, side], and which of them are in the image."""
    places = first[:, None] + np.arange(side)
    inside = (places >= 0) & (places < size)
    if black:
        return np.where(inside, places, 0), inside
    turned = places % (2 * size)
    return np.where(turned < size, turned, 2 * size - 1 - turned), inside
