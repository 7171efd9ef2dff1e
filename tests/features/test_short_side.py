"""A database whose protocol has a shorter side (SPAQ): extractors see the resized image, of any size of file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline import images
from pipeline.databases import Manifest, ingest_folder
from pipeline.features import extract_features


@pytest.mark.parametrize(
    ("size", "made"),
    [((1024, 2048), (512, 1024)), ((301, 200), (771, 512)), ((512, 700), (512, 700)), ((3, 3000), (512, 512000))],
)
def test_the_shorter_side_is_exact_and_the_other_keeps_its_proportion(
    size: tuple[int, int], made: tuple[int, int]
) -> None:
    assert images.short_side_size(*size, 512) == made
    assert images.short_side_size(*size[::-1], 512) == made[::-1]


def test_resizing_averages_and_leaves_the_right_size_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (640, 320, 3), dtype=np.uint8)
    small = images.to_short_side(noise, 32)
    assert small.shape == (64, 32, 3) and small.flags.writeable
    assert small.std() < noise.std() / 4  # 100 source pixels for each, not one picked
    assert images.to_short_side(small, 32) is small


class Seen:
    """Remembers what it was shown."""

    name, dim, sha256 = "seen", 1, "ab" * 32

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.batches: list[set[tuple[int, ...]]] = []

    def extract(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        self.shown += pictures
        self.batches.append({picture.shape for picture in pictures})
        return np.array([[picture.mean()] for picture in pictures], dtype=np.float32)


def test_extraction_resizes_and_batches_by_the_resized_size(tmp_path: Path) -> None:
    sizes = {"a.png": (64, 128), "b.png": (128, 256), "c.png": (96, 64), "d.png": (32, 64)}
    pictures = {}
    for number, (name, size) in enumerate(sizes.items()):
        pictures[name] = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        (tmp_path / name).write_bytes(images.encode(pictures[name], "png"))
    (tmp_path / "scores.csv").write_text("image,mos\n" + "".join(f"{name},1\n" for name in sizes))
    manifest = Manifest.model_validate(
        {
            **{"name": "mine", "title": "mine", "citation": "none", "kind": "folder", "higher_is_better": True},
            **{"range": [0, 5], "group": {"kind": "image"}, "short_side": 32, "images": {"extensions": [".png"]}},
            "scores": {"file": "scores.csv", "image": "image", "mos": "mos"},
        }
    )
    database, seen = ingest_folder(manifest, tmp_path), Seen()
    assert (database["width"].to_pylist(), database["short_side"].to_pylist()) == ([128, 256, 64, 64], [32] * 4)
    extract_features(database, tmp_path, seen, encoder="seen", database_name="mine", batch_images=8)
    assert sorted(map(sorted, seen.batches)) == [[(32, 64, 3)], [(48, 32, 3)]]
    for name, picture in pictures.items():
        assert any(np.array_equal(images.to_short_side(picture, 32), shown) for shown in seen.shown), name
