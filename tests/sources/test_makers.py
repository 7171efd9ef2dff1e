"""Sets by index: pairing, independence of count and order, packaged data, folders, refusals."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline import images, sources
from pipeline.sources import palettes, textures
from pipeline.sources.listing import SourceError

SMALL = {"seed": 3, "count": 4, "height": 96, "width": 128}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for k, name in enumerate(("b.png", "a/c.png", "d.webp")):
        (root / name).parent.mkdir(exist_ok=True)
        picture = np.random.default_rng(k).integers(0, 256, (40, 60 + k, 3), dtype=np.uint8)
        (root / name).write_bytes(images.encode(picture, Path(name).suffix[1:]))
    (root / "notes.txt").write_text("no image")
    return root


def test_textured_and_plain_share_leaves_and_colours() -> None:
    plain = sources.maker("dead_leaves", **SMALL)
    clear = sources.maker("textured_dead_leaves", alpha=0.0, **SMALL)
    textured = sources.maker("textured_dead_leaves", **SMALL)
    for index in range(4):
        assert np.array_equal(plain.make(index)[0], clear.make(index)[0])
        difference = textured.make(index)[0].astype(int) - plain.make(index)[0]
        assert np.abs(difference).max() <= 128 and difference.any()


@pytest.mark.parametrize("name", ["dead_leaves", "textured_dead_leaves", "photos"])
def test_an_image_depends_on_its_index_only(name: str) -> None:
    few, many = sources.maker(name, **SMALL), sources.maker(name, **{**SMALL, "count": 9})
    travelled = pickle.loads(pickle.dumps(many))
    for index in (3, 0):
        image, recipe = few.make(index)
        images.check(image)
        assert np.array_equal(image, travelled.make(index)[0])
        assert json.loads(json.dumps(recipe)) == recipe
    assert few.inputs() == many.inputs() and json.dumps(few.inputs())
    assert len(pickle.dumps(few)) < 10_000
    for index in (-1, few.count):
        with pytest.raises(IndexError):
            few.make(index)


def test_other_seeds_give_other_images_and_fingerprints() -> None:
    one, two = (sources.maker("dead_leaves", **{**SMALL, "seed": seed}) for seed in (1, 2))
    assert not np.array_equal(one.make(0)[0], two.make(0)[0]) and one.inputs() != two.inputs()


def test_each_image_has_the_colours_of_one_photograph() -> None:
    maker = sources.maker("dead_leaves", **SMALL)
    names = [photograph.name for photograph in palettes.packaged()]
    assert names == ["china", "flower", "grace_hopper"]
    for index in range(4):
        image, recipe = maker.make(index)
        assert recipe["palette"]["name"] == names[index % 3]
        photograph = palettes.packaged()[index % 3].pixels()
        found = {tuple(c) for c in np.unique(image.reshape(-1, 3), axis=0)}
        assert found <= {tuple(c) for c in np.unique(photograph.reshape(-1, 3), axis=0)}


def test_photos_are_the_five_of_the_wheel_at_their_own_size() -> None:
    maker = sources.maker("photos", seed=0)
    found = {recipe["name"]: image.shape for image, recipe in map(maker.make, range(maker.count))}
    assert found == {
        "astronaut": (512, 512, 3),
        "chelsea": (300, 451, 3),
        "coffee": (400, 600, 3),
        "rocket": (427, 640, 3),
        "motorcycle": (500, 741, 3),
    }


def test_a_made_image_may_be_changed_without_changing_the_next() -> None:
    maker = sources.maker("photos", seed=0)
    maker.make(0)[0][:] = 0
    assert maker.make(0)[0].any()


def test_palettes_and_textures_from_folders(folder: Path) -> None:
    maker = sources.maker("textured_dead_leaves", palette_folder=folder, texture_folder=folder, **SMALL)
    recipe = maker.make(1)[1]
    assert recipe["palette"]["name"] == "b.png" and recipe["textures"]["count"] == 3
    atlas = textures.folder(folder)
    assert atlas.names == ("a/c.png", "b.png", "d.webp") and atlas.shapes[:, 1].tolist() == [256] * 3
    assert maker.inputs() != sources.maker("textured_dead_leaves", palette_folder=folder, **SMALL).inputs()


def test_textures_may_be_small_but_no_ribbons(tmp_path: Path) -> None:
    """Enlarged to a shorter side of 256, one of 2 x 30,000 pixels would have a thousand million."""
    for name, width in (("speck.png", 1), ("strip.png", 16)):
        (tmp_path / name).write_bytes(images.encode(np.full((1, width, 3), 90, np.uint8), "png"))
    assert textures.folder(tmp_path).shapes[:, 1:].tolist() == [[256, 256], [256, 4096]]
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "ribbon.png").write_bytes(images.encode(np.zeros((34, 2, 3), np.uint8), "png"))
    with pytest.raises(SourceError, match=r"ribbon.png: 2 x 34 pixels, one side is over 16 times the other"):
        textures.folder(tmp_path / "more")


def test_embedded_textures_are_packaged_ones_and_materials() -> None:
    atlas = textures.embedded()
    assert atlas.names[:3] == ("brick", "grass", "gravel") and len(set(atlas.names)) == len(atlas.names) >= 16
    for first, height, width in atlas.shapes:
        grey = atlas.pixels[first : first + height * width]
        assert (height, width) == (512, 512) and 20 < grey.std() < 80


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count 0"),
        ({"alpha": 1.5}, "alpha 1.5"),
        ({"supersample": 0}, "supersample 0"),
        ({"shape": "star"}, "shape 'star'"),
        ({"r_min": 9.0, "r_max": 3.0}, "r_min 9.0, r_max 3.0"),
        ({"palette_folder": Path("/nowhere")}, "/nowhere is not a folder"),
    ],
)
def test_impossible_values_are_named(values: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        sources.maker("textured_dead_leaves", **{**SMALL, **values})


def test_unknown_sets_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'cats' is none of"):
        sources.maker("cats", seed=0)
    with pytest.raises(SourceError, match="has no images"):
        sources.maker("dead_leaves", seed=0, palette_folder=tmp_path)
    with pytest.raises(SourceError, match="has 0 images"):
        sources.maker("textured_dead_leaves", texture_folder=tmp_path, **SMALL).make(0)
