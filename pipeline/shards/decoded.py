"""Decoded images and where they stay: on the device, in the host's memory, or nowhere. All three cut equal squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.devices import free_memory
from pipeline.engine import progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Mode = Literal["device", "host", "none"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Images(Protocol):
    """Images by number, as a shard set gives them; picklable where several ranks are started."""

    @property
    def keys(self) -> list[str]:
        """The name of each image."""
        ...

    @property
    def shapes(self) -> NDArray[np.int32]:
        """[n, 2]: height and width of each image."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 3]."""
        ...


class LabelledImages(Images, Protocol):
    """Images with a class each."""

    @property
    def labels(self) -> NDArray[np.int16]:
        """[n]: 0..125 (pipeline.labels)."""
        ...


@dataclass(frozen=True)
class Subset:
    """The given ``rows`` of ``images``, in their order."""

    images: LabelledImages
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def keys(self) -> list[str]:
        """The name of each image."""
        keys = self.images.keys
        return [keys[row] for row in self.rows]

    @property
    def labels(self) -> NDArray[np.int16]:
        """The class of each image."""
        return self.images.labels[self.rows]

    @property
    def shapes(self) -> NDArray[np.int32]:
        """[n, 2]: height and width of each image."""
        return self.images.shapes[self.rows]

    @property
    def fingerprint(self) -> str | None:
        """That of the images, if they have one."""
        return getattr(self.images, "fingerprint", None)

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 3]."""
        return self.images.image(int(self.rows[index]))


class Decoded(Protocol):
    """Images that squares are cut from."""

    def cut(self, samples: NDArray[np.int64], cuts: Sequence[tuple[NDArray[np.int64], int]]) -> list[Tensor]:
        """For each (corners int [n, 2], side) of ``cuts`` uint8 [n, side, side, 3]: of each of the n images the square
        whose first pixel (down, across) the corner is. An image is continued by its own mirror image.
        """
        ...

    def close(self) -> None:
        """End the reading threads."""
        ...


class HostImages:
    """Images decoded by ``readers`` threads (the codecs release the interpreter lock): each time, or with ``keep``
    once.

    ``pin`` makes the squares in page-locked memory, from which a GPU copies on its own.
    """

    def __init__(self, images: Images, *, keep: bool, readers: int = 1, pin: bool = False) -> None:
        self._images, self._keep, self._pin = images, keep, pin
        self._decoded: dict[int, NDArray[np.uint8]] = {}
        self._pool = ThreadPoolExecutor(readers, "decode") if readers > 1 else None

    def cut(self, samples: NDArray[np.int64], cuts: Sequence[tuple[NDArray[np.int64], int]]) -> list[Tensor]:
        """See :class:`Decoded`; in the host's memory."""
        return cut_images(lambda row: self._image(int(samples[row])), len(samples), cuts, self._pool, pin=self._pin)

    def close(self) -> None:
        """End the readers."""
        if self._pool:
            self._pool.shutdown()

    def _image(self, sample: int) -> NDArray[np.uint8]:
        image = self._decoded.get(sample)
        if image is None:
            image = self._images.image(sample)
            if self._keep:
                self._decoded[sample] = image
        return image


def cut_images(
    image: Callable[[int], NDArray[np.uint8]],
    count: int,
    cuts: Sequence[tuple[NDArray[np.int64], int]],
    pool: ThreadPoolExecutor | None = None,
    *,
    pin: bool = False,
) -> list[Tensor]:
    """:meth:`Decoded.cut` of the images ``image(0)`` .. ``image(count - 1)``, each asked for once."""
    import torch

    squares = [torch.empty((count, side, side, 3), dtype=torch.uint8, pin_memory=pin) for _, side in cuts]
    arrays = [tensor.numpy() for tensor in squares]

    def fill(row: int) -> None:
        pixels = image(row)
        for array, (corners, side) in zip(arrays, cuts, strict=True):
            array[row] = square(pixels, int(corners[row, 0]), int(corners[row, 1]), side)

    for _ in (pool.map if pool else map)(fill, range(count)):
        pass
    return squares


class DeviceImages:
    """All images on the device, decoded once at the start by ``readers`` threads; those of one size make one tensor.

    A step's squares are gathered there, on a stream of their own beside the steps', and no bytes go over the bus.
    """

    def __init__(self, images: Images, device: torch.device, *, readers: int = 1) -> None:
        import torch

        sizes, stack_of = np.unique(images.shapes, axis=0, return_inverse=True)
        self._stack_of = stack_of.reshape(-1)
        self._row_of = np.empty(len(images), np.int64)
        self._stacks: list[Tensor] = []
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        for stack, size in enumerate(sizes):
            members = np.flatnonzero(self._stack_of == stack)
            self._row_of[members] = np.arange(len(members))
            self._stacks.append(torch.empty((len(members), *map(int, size), 3), dtype=torch.uint8, device=device))

        def load(sample: int) -> None:
            image = torch.from_numpy(images.image(sample))
            self._stacks[self._stack_of[sample]][self._row_of[sample]].copy_(image)

        with ThreadPoolExecutor(readers, "decode") as pool:
            for _ in progress(pool.map(load, range(len(images))), total=len(images), describe="images to the device"):
                pass
        if self._stream:
            torch.cuda.synchronize(device)

    def cut(self, samples: NDArray[np.int64], cuts: Sequence[tuple[NDArray[np.int64], int]]) -> list[Tensor]:
        """See :class:`Decoded`; on the device."""
        import torch

        if self._stream is None:
            return [self._gathered(samples, corners, side) for corners, side in cuts]
        with torch.cuda.stream(self._stream):
            squares = [self._gathered(samples, corners, side) for corners, side in cuts]
        self._stream.synchronize()  # waits for these copies and not for the steps that are queued
        for tensor in squares:
            tensor.record_stream(torch.cuda.default_stream(tensor.device))  # where the step reads them
        return squares

    def close(self) -> None:
        """Nothing was started."""

    def _gathered(self, samples: NDArray[np.int64], corners: NDArray[np.int64], side: int) -> Tensor:
        import torch

        device = self._stacks[0].device

        def moved(array: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(array).to(device)

        squares = torch.empty((len(samples), side, side, 3), dtype=torch.uint8, device=device)
        for stack in np.unique(self._stack_of[samples]):
            chosen = np.flatnonzero(self._stack_of[samples] == stack)
            images, rows = self._stacks[stack], moved(self._row_of[samples[chosen]])
            down, across = (
                moved(mirrored(corners[chosen, axis, None] + np.arange(side), images.shape[1 + axis]))
                for axis in (0, 1)
            )
            squares[moved(chosen)] = images[rows[:, None, None], down[:, :, None], across[:, None, :]]
        return squares


def open_images(
    images: Images,
    mode: Mode,
    device: torch.device,
    *,
    readers: int = 1,
    host_free: int,
    device_free: int,
) -> tuple[Decoded, str]:
    """``images`` kept as ``mode`` says, or in the next of device, host, none that their decoded bytes fit in; and a
    line that says where they are, and why if elsewhere than was wished. ``host_free`` and ``device_free`` in bytes.
    """
    if mode not in MODES:
        raise ValueError(f"run.cache: {mode!r} is not one of {', '.join(MODES)}")
    size = decoded_bytes(images)
    chosen, reason = fitting(mode, size, device_free, host_free)
    text = f"{size / 1e9:.1f} GB of images, cache {chosen}" + (f" ({reason})" if reason else "")
    if chosen == "device":
        return DeviceImages(images, device, readers=readers), text
    return HostImages(images, keep=chosen == "host", readers=readers, pin=device.type == "cuda"), text


def keep_images(
    images: Images, mode: Mode, device: torch.device, *, readers: int = 1, ranks: int = 1, share: float = 0.5
) -> tuple[Decoded, str]:
    """:func:`open_images` in at most ``share`` of the memory that is free, the host's for all ``ranks`` together."""
    import torch

    host = int(free_memory() * share) // ranks
    on_device = int(torch.cuda.mem_get_info(device)[0] * share) if device.type == "cuda" else host
    return open_images(images, mode, device, readers=readers, host_free=host, device_free=on_device)


def fitting(wanted: Mode, needed: int, device_free: int, host_free: int) -> tuple[Mode, str]:
    """``wanted``, or the next of device, host, none that ``needed`` bytes fit in; and why not as was wished, if so."""
    room = {"device": device_free, "host": host_free}
    reasons: list[str] = []
    for mode in MODES[MODES.index(wanted) :]:
        if mode == "none" or needed <= room[mode]:
            return mode, "; ".join(reasons)
        reasons.append(f"{needed / 1e9:.1f} GB do not fit in {room[mode] / 1e9:.1f} GB of the {mode}")
    raise AssertionError("none always fits")


def decoded_bytes(images: Images) -> int:
    """Bytes of all images, decoded."""
    return 3 * int(images.shapes.astype(np.int64).prod(1).sum())


def square(image: NDArray[np.uint8], top: int, left: int, side: int) -> NDArray[np.uint8]:
    """uint8 [side, side, 3] of ``image`` from (``top``, ``left``) on; beyond its edges its own mirror image."""
    height, width = image.shape[:2]
    if top >= 0 and left >= 0 and top + side <= height and left + side <= width:
        return image[top : top + side, left : left + side]
    down, across = (mirrored(first + np.arange(side), size) for first, size in ((top, height), (left, width)))
    return image[down[:, None], across]


def mirrored(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Places along an axis of ``size`` pixels, folded into it: the edge pixel comes twice (b a | a b c | c b)."""
    folded = places % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)
