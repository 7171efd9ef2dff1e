"""The images of a database table, as training takes them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline import images
from pipeline.databases import ingest_folder, load_manifest
from pipeline.databases.pixels import ChangedImageError, TableImages
from tests.databases.fixtures import kadid, save


def test_a_tables_images_have_keys_shapes_and_pixels(tmp_path: Path) -> None:
    folder = kadid(tmp_path)
    table = ingest_folder(load_manifest("kadid10k"), folder)
    scored = table.filter([not is_reference for is_reference in table["is_reference"].to_pylist()])
    pictures = pickle.loads(pickle.dumps(TableImages(scored, folder)))  # as ranks get it
    assert pictures.keys == scored["image_id"].to_pylist() and len(pictures) == len(scored)
    for index in (0, 3):
        path = folder / scored["path"][index].as_py()
        assert np.array_equal(pictures.image(index), images.read(path))
        assert tuple(pictures.shapes[index]) == pictures.image(index).shape[:2]
    assert pictures.fingerprint != TableImages(scored.slice(1), folder).fingerprint
    save(path, 999)
    with pytest.raises(ChangedImageError, match="has changed since the database was ingested"):
        pictures.image(3)
