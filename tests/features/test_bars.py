"""The promise of the tables: an image's feature is its own, whatever its batch and whatever file it came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline import images
from pipeline.databases import ingest_folder, load_manifest
from pipeline.encoder.trunk import TrunkExtractor
from pipeline.encoder.weights import save_encoder
from pipeline.engine import Engine
from pipeline.features import Extractor, extract_features, extraction, load_extractor
from pipeline.features.brisque import Brisque36
from pipeline.features.floor import Floor
from pipeline.training.random_init import random_trunk, set_running_statistics
from tests.databases.fixtures import kadid
from tests.features.pairs import photograph

SIDES = ((96, 128), (96, 128), (96, 128), (65, 97), (32, 32), (32, 32))


@pytest.fixture(scope="module")
def trunk():
    torch.set_num_threads(1)
    made = random_trunk(18, 16, seed=7)
    set_running_statistics(made, [photograph("coffee", 64, 64), photograph("rocket", 64, 64)])
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose files are grey, with alpha, of 16 bits, palettes of odd sizes and 32 x 32."""
    made = kadid(tmp_path_factory.mktemp("files") / "kadid")
    for number, path in enumerate(sorted((made / "images").glob("*.png"))):
        height, width = SIDES[number % len(SIDES)]
        top = 7 * (number + 1)
        picture = np.ascontiguousarray(photograph("coffee", 400, 600)[top : top + height, top : top + width, ::-1])
        match number % 4:
            case 0:
                picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            case 1:
                picture = np.dstack([picture, np.full(picture.shape[:2], number * 7, np.uint8)])
            case 2:
                picture = picture.astype(np.uint16) * 257
        assert cv2.imwrite(str(path), picture)
    return made


def extracted(folder: Path, database: pa.Table, extractor: Extractor, **options: Any) -> dict[str, np.ndarray]:
    """image_id -> feature."""
    table = extract_features(database, folder, extractor, encoder="x", database_name="kadid10k", **options)
    return dict(zip(table["image_id"].to_pylist(), np.stack(table["feature"].to_pylist()), strict=True))


def largest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


@pytest.mark.parametrize(("precision", "bar"), [("fp32", 1e-5), ("bf16", 2e-3)])
def test_features_of_the_stage_do_not_depend_on_batch_or_order(trunk, folder: Path, precision: str, bar: float) -> None:
    database = ingest_folder(load_manifest("kadid10k"), folder)
    assert len({(row["width"], row["height"]) for row in database.to_pylist()}) == 3
    network = TrunkExtractor(trunk, name="x", sha256="0", precision=precision)
    alone = extracted(folder, database, network, batch_images=1)
    order = np.random.default_rng(0).permutation(len(database))
    shuffled = database.take(pa.array(order))
    for table, images_at_once in ((database, 16), (database, 3), (shuffled, 16), (shuffled, 5)):
        assert largest(alone, extracted(folder, table, network, batch_images=images_at_once)) <= bar


def test_features_do_not_depend_on_the_number_of_workers(
    trunk, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = ingest_folder(load_manifest("kadid10k"), folder)
    save_encoder(tmp_path, trunk, "x", {})
    network = load_extractor(tmp_path)
    alone = extracted(folder, database, network)
    monkeypatch.setattr(extraction, "TASK_PIXELS", 2**16)
    for engine in (Engine(), Engine("processes", 2)):
        assert largest(alone, extracted(folder, database, network, engine=engine)) == 0


@pytest.mark.parametrize("extractor", [Floor(), Brisque36()], ids=["floor", "brisque36"])
def test_numbers_of_rules_do_not_depend_on_batch_or_order_at_all(folder: Path, extractor: Extractor) -> None:
    database = ingest_folder(load_manifest("kadid10k"), folder)
    alone = extracted(folder, database, extractor, batch_images=1)
    shuffled = database.take(pa.array(np.random.default_rng(0).permutation(len(database))))
    assert largest(alone, extracted(folder, shuffled, extractor, batch_images=16)) == 0


@pytest.mark.slow
def test_twelve_megapixels_beside_small_images(trunk, tmp_path: Path) -> None:
    """4000 x 3000 through the decoder and the network at native resolution, alone and among others."""
    large = cv2.resize(photograph("coffee", 400, 600), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    assert cv2.imwrite(str(tmp_path / "large.jpg"), large[..., ::-1])
    pictures = [images.read(tmp_path / "large.jpg"), photograph("rocket", 32, 32), photograph("chelsea", 65, 97)]
    assert pictures[0].shape == (3000, 4000, 3)
    network = TrunkExtractor(trunk, name="x", sha256="0")
    alone = _each(network, pictures)
    assert np.isfinite(alone).all() and np.linalg.norm(alone, axis=1) == pytest.approx(2**0.5, abs=1e-4)
    assert np.abs(network.extract(pictures[::-1])[::-1] - alone).max() <= 1e-5
    for rule in (Floor(), Brisque36()):
        assert np.isfinite(rule.extract(pictures[:1])).all()


def _each(extractor: Extractor, pictures: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([extractor.extract([picture]) for picture in pictures])
