"""Training images from a stream: groups of a class, every image, exact resumption, bounded memory, over loopback."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import ArtifactError
from pipeline.shards import streamed
from pipeline.shards.epochs import EpochError
from pipeline.shards.reader import ShardSet
from pipeline.shards.stream import Streamed
from pipeline.shards.streamed import StreamedImages
from tests.shards.test_reader_stream import Handler, serve  # noqa: F401 - the fixture of the server


def keys(images: StreamedImages, first: int, last: int, rank: int = 0, ranks: int = 1) -> list[list[str]]:
    steps = list(images.steps(first, last, rank, ranks))
    assert [step for step, _ in steps] == list(range(first, last))
    return [[sample.key for sample in samples] for _, samples in steps]


def test_a_step_is_groups_of_a_class_and_nothing_is_lost(undisturbed: Path) -> None:
    shards = ShardSet(undisturbed / "distorted")
    images = StreamedImages((undisturbed / "distorted").resolve().as_uri(), 12, 1, per_class=2, buffer=280)
    steps = keys(images, 0, 7 * images.in_epoch)
    for step in steps:
        labels = [key.split("-")[1] for key in step]
        assert len(step) == 12 and labels[::2] == labels[1::2]
        assert all(one != other for one, other in zip(step[::2], step[1::2], strict=True))
    seen = Counter(key for step in steps for key in step)
    assert set(seen) == set(shards.keys) and max(seen.values()) <= 9
    pixels = {sample.key: sample.image() for _, samples in images.steps(4, 6, 0, 1) for sample in samples}
    assert all(np.array_equal(image, shards.image(shards.keys.index(key))) for key, image in pixels.items())


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("per_class", [1, 2])
def test_a_resumed_stream_goes_on_at_the_exact_sample(undisturbed: Path, ranks: int, per_class: int) -> None:
    images = StreamedImages((undisturbed / "distorted").resolve().as_uri(), 12, 3, per_class, buffer=60)
    for rank in range(ranks):
        whole = keys(images, 0, 90, rank, ranks)
        for stop in (1, 7, 52, 60, 89):  # 630 samples: the second epoch begins near step 52
            assert keys(images, stop, 90, rank, ranks) == whole[stop:]
    if ranks == 2:
        parts = [{key for step in keys(images, 0, 40, rank, 2) for key in step} for rank in range(2)]
        assert not parts[0] & parts[1]  # shards of their own


def test_no_more_is_held_than_the_buffer(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    taken = streamed._Arrivals.taken

    def counted(self: Any, place: Any) -> Streamed:
        nonlocal most
        most = max(most, len(self._held))
        return taken(self, place)

    monkeypatch.setattr(streamed._Arrivals, "taken", counted)
    images = StreamedImages((undisturbed / "distorted").resolve().as_uri(), 12, 1, buffer=60)
    keys(images, 0, 60)
    assert most == 60  # of 630


def test_excluded_sources_are_left_out(undisturbed: Path) -> None:
    url = (undisturbed / "distorted").resolve().as_uri()
    images = StreamedImages(url, 8, 1, buffer=64, exclude=frozenset({1, 3}))
    sources = {int(key[:6]) for step in keys(images, 0, 100) for key in step}
    assert sources == {0, 2, 4}
    assert images.order_fingerprint != StreamedImages(url, 8, 1, buffer=64).order_fingerprint


def test_a_stream_over_http_breaks_and_goes_on(undisturbed: Path, serve: Any) -> None:  # noqa: F811
    local = StreamedImages((undisturbed / "distorted").resolve().as_uri(), 12, 1, per_class=2, buffer=120)
    expected = keys(local, 0, 60)
    assert keys(StreamedImages(serve(undisturbed / "distorted"), 12, 1, 2, 120), 0, 60) == expected
    broken = serve(undisturbed / "distorted", limit=200_000, ranges=True)
    assert keys(StreamedImages(broken, 12, 1, 2, 120), 0, 60) == expected
    assert any(span for _, span in Handler.asked)
    with pytest.raises(ArtifactError, match="cut: "):
        keys(StreamedImages(serve(undisturbed / "distorted", limit=10_000), 12, 1, 2, 120), 0, 60)


@pytest.mark.parametrize(
    ("arguments", "ranks", "message"),
    [
        ({"batch": 9}, 2, "batch: 9 is not 2 ranks' groups of 1"),
        ({"batch": 8, "per_class": 3}, 1, "groups of 3"),
        ({"batch": 8, "buffer": 15}, 1, "buffer: 15 .*less than two steps of 8"),
        ({"batch": 400}, 100, "fewer than 100 ranks"),
    ],
)
def test_what_cannot_be_is_refused(undisturbed: Path, arguments: dict[str, int], ranks: int, message: str) -> None:
    images = StreamedImages((undisturbed / "distorted").resolve().as_uri(), **{"seed": 0, **arguments})
    with pytest.raises(EpochError, match=message):
        images.steps(0, 1, 0, ranks)


def test_sources_have_no_classes(undisturbed: Path) -> None:
    images = StreamedImages((undisturbed / "sources").resolve().as_uri(), 1, 0, buffer=2)
    with pytest.raises((ArtifactError, EpochError), match="no classes|buffer"):
        next(images.steps(0, 1, 0, 1))


def test_a_stream_that_never_has_a_step_is_refused(undisturbed: Path) -> None:
    url = (undisturbed / "distorted").resolve().as_uri()
    stream = StreamedImages(url, 12, 1).stream
    sources = sorted({source for shard in range(len(stream.shards)) for _, source in stream.labels(shard)})
    with pytest.raises(EpochError, match="has no image that is not held out"):
        keys(StreamedImages(url, 12, 1, exclude=frozenset(sources)), 0, 1)
    with pytest.raises(EpochError, match="never has .* groups of 4 of a class"):  # a source has one image of a class
        keys(StreamedImages(url, 12, 1, per_class=4, exclude=frozenset(sources[1:])), 0, 1)
