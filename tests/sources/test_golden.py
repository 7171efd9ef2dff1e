"""The first image of each set, to the bit. A change of these hashes needs a new ``leaves_set.FORMAT``.

Promised for one CPU family and the locked versions; leaf geometry is rounded to 2^-16 pixel and holds everywhere, the
materials pass through FFTs and may differ by one grey level elsewhere.
"""

from __future__ import annotations

import pytest

from pipeline import sources
from pipeline.artifacts import sha256_bytes
from pipeline.engine import Engine
from pipeline.params.sections import SourcesParams
from pipeline.sources.dead_leaves import leaves_set

GOLDEN = {
    1: {
        "dead_leaves": "09951f9651ca180b51ac1d9396eadb014187c3c6c38570c3cd1b4dbc10906123",
        "textured_dead_leaves": "c7e6a8725397994346457789b1f4f0f1084f5672897555486f0c4ae3b6c37656",
        "photos": "a8c429c18afa7b0fd5673e598d73a21225d94c864a71bbb3885126fdecb41071",
    }
}


def first_image_hash(name: str) -> str:
    """Top level, so that an engine's workers find it."""
    image, _ = sources.source_set(name, SourcesParams(count=1), seed=0).make(0)
    return sha256_bytes(image.tobytes())


@pytest.mark.parametrize("engine", [Engine("serial"), Engine("processes", 2)], ids=lambda engine: engine.name)
def test_first_image_of_each_set_is_what_it_was(engine: Engine) -> None:
    expected = GOLDEN[leaves_set.FORMAT]
    assert dict(zip(expected, engine.map(first_image_hash, list(expected), describe="golden"), strict=True)) == expected


@pytest.mark.slow
def test_ray_makes_the_same_first_images(ray_cluster: str) -> None:
    expected = GOLDEN[leaves_set.FORMAT]
    hashes = Engine("ray", 2, ray_cluster).map(first_image_hash, list(expected), describe="golden")
    assert dict(zip(expected, hashes, strict=True)) == expected
