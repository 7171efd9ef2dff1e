"""Views: what is cut, halved, flipped and drawn."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from pipeline.encoder import colour
from pipeline.encoder.colour import SPACES
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import as_input
from pipeline.seeding import generator
from pipeline.shards.decoded import square
from pipeline.training import views


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rendered(picture: np.ndarray, crop: int, draws: views.Draws) -> torch.Tensor:
    corners = views.corners(np.array([picture.shape[:2]]), crop, draws)
    squares = [square(picture, *map(int, at[0]), side) for at, side in zip(corners, (crop, 2 * crop), strict=True)]
    full, half = (torch.from_numpy(np.ascontiguousarray(pixels))[None] for pixels in squares)
    return views.render(full, half, draws)


def plain(down: float, across: float, flip: bool = False, space: int = 0) -> views.Draws:
    places = np.full((2, 1, 2), (down, across))
    return views.Draws(places, np.full((2, 1), flip), np.full((2, 1), space, dtype=np.int64))


@pytest.mark.parametrize("size", [(80, 96), (81, 97), (64, 64), (65, 64)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.999999, 0.999999), (0.4, 0.7)])
def test_views_are_crops_of_the_image_and_of_its_half(size: tuple[int, int], place: tuple[float, float]) -> None:
    picture, crop = image(*size), 32
    views_ = rendered(picture, crop, plain(*place))
    for view, scale in zip(views_, (as_input(torch.from_numpy(picture)[None]), None), strict=True):
        scale = half_scale(as_input(torch.from_numpy(picture)[None])) if scale is None else scale
        top, left = (int(p * (side - crop + 1)) for p, side in zip(place, scale.shape[2:], strict=True))
        assert torch.allclose(view, scale[0, :, top : top + crop, left : left + crop], atol=1e-6)


def test_a_small_image_is_continued_by_its_mirror_image() -> None:
    picture = image(40, 100)  # half scale: 20 x 50
    view = rendered(picture, 32, plain(0.5, 0.0))[1]
    half = half_scale(as_input(torch.from_numpy(picture)[None]))[0].numpy()
    expected = np.pad(half, ((0, 0), (6, 6), (0, 0)), mode="symmetric")[:, :, :32]
    assert np.abs(view.numpy() - expected).max() < 1e-6


def test_a_flip_is_across() -> None:
    picture = image(80, 96)
    straight, flipped = (rendered(picture, 32, plain(0.3, 0.6, flip)) for flip in (False, True))
    assert torch.equal(flipped, straight.flip(3))


@pytest.mark.parametrize("space", range(5))
def test_each_view_is_in_its_own_space(space: int) -> None:
    picture = image(80, 96)
    draws = plain(0.1, 0.2)
    draws.spaces[1] = space
    view = rendered(picture, 32, draws)
    reference = rendered(picture, 32, plain(0.1, 0.2))
    assert torch.equal(view[0], reference[0])
    difference = (view[1] - list(SPACES.values())[space](reference[1:2])[0]).abs()
    assert torch.minimum(difference, (1 - difference).abs()).max() < 1e-5  # hue 0 is hue 1


def test_draws_depend_on_the_generator_alone_and_split_by_rank() -> None:
    draws, again = (views.draw(generator(1, "train/views", 9), 64) for _ in range(2))
    assert np.array_equal(draws.places, again.places) and np.array_equal(draws.spaces, again.spaces)
    part = draws.part(slice(16, 32))
    assert np.array_equal(part.flips, draws.flips[:, 16:32]) and part.places.shape == (2, 16, 2)


def test_draws_are_uniform() -> None:
    draws = views.draw(generator(1, "train/views", 0), 20_000)
    assert np.abs(np.bincount(draws.spaces.reshape(-1)) / 40_000 - 0.2).max() < 0.01
    assert abs(draws.flips.mean() - 0.5) < 0.01 and abs(draws.places.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(draws.spaces)[0, 1]) < 0.02  # the two views draw independently


def test_the_input_is_channels_last_in_the_unit_range() -> None:
    draws = views.draw(generator(1, "train/views", 3), 6)
    full = torch.randint(256, (6, 32, 32, 3), dtype=torch.uint8)
    half = torch.randint(256, (6, 64, 64, 3), dtype=torch.uint8)
    crops = views.render(full, half, draws)
    assert crops.shape == (12, 3, 32, 32) and crops.dtype == torch.float32
    assert crops.is_contiguous(memory_format=torch.channels_last)
    assert crops.min() >= 0 and crops.max() <= 1


def test_only_the_chosen_spaces_are_drawn_and_all_five_by_default() -> None:
    grey = views.draw(generator(1, "train/views", 4), 64, ["grey"])
    assert set(grey.spaces.reshape(-1)) == {list(SPACES).index("grey")}
    two = views.draw(generator(1, "train/views", 4), 2_000, ["ms", "lab"])
    assert np.abs(np.bincount(two.spaces.reshape(-1), minlength=5) / 4_000 - [0, 0.5, 0, 0, 0.5]).max() < 0.03
    every, default = (views.draw(generator(1, "train/views", 4), 64, *spaces) for spaces in ([list(SPACES)], []))
    assert np.array_equal(every.spaces, default.spaces) and set(default.spaces.reshape(-1)) == set(range(5))
    assert np.array_equal(every.places, grey.places) and np.array_equal(every.flips, grey.flips)


def test_nothing_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none on "meta"
    draws = views.draw(generator(1, "train/views", 0), 6)  # on "meta" tensors have no values: what asks for one fails
    full, half = (torch.empty((6, side, side, 3), dtype=torch.uint8, device="meta") for side in (32, 64))
    assert views.render(full, half, draws).shape == (12, 3, 32, 32)
    copies = colour._constant.cache_info().misses
    views.render(full, half, draws)
    assert colour._constant.cache_info().misses == copies  # no list is copied to the device twice
