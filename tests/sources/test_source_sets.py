"""Sets by index: pairing, independence of count and order, packaged data, folders, refusals."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import images, sources
from pipeline.params.sections import PathsParams, SourcesParams
from pipeline.seeding import generator
from pipeline.sources import SourceError, palettes, rebuild
from pipeline.sources.photographs import photos
from pipeline.sources.textures import atlas as textures
from tests.sources.fixtures import SET, leaves


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
    plain = leaves("dead_leaves")
    clear = leaves(alpha=0.0)
    textured = leaves()
    for index in range(4):
        assert np.array_equal(plain.make(index)[0], clear.make(index)[0])
        difference = textured.make(index)[0].astype(int) - plain.make(index)[0]
        assert np.abs(difference).max() <= 128 and difference.any()


@pytest.mark.parametrize("name", ["dead_leaves", "textured_dead_leaves", "photos"])
def test_an_image_depends_on_its_index_only(name: str) -> None:
    few, many = (sources.source_set(name, SourcesParams(count=count, size=96), seed=3) for count in (4, 9))
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
    first, second = (leaves(seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.make(0)[0], second.make(0)[0]) and first.inputs() != second.inputs()


def test_each_image_has_the_colours_of_one_photograph() -> None:
    drawn = leaves("dead_leaves")
    names = [photograph.name for photograph in palettes.embedded()]
    assert names == ["china", "flower", "grace_hopper"]
    for index in range(4):
        image, recipe = drawn.make(index)
        assert recipe["palette"]["name"] == names[index % 3]
        photograph = palettes.embedded()[index % 3].pixels()
        colours = {tuple(c) for c in np.unique(image.reshape(-1, 3), axis=0)}
        assert colours <= {tuple(c) for c in np.unique(photograph.reshape(-1, 3), axis=0)}


def test_photos_are_the_five_of_the_wheel_at_their_own_size() -> None:
    drawn = photos()
    shapes = {recipe["name"]: image.shape for image, recipe in map(drawn.make, range(drawn.count))}
    assert shapes == {
        "astronaut": (512, 512, 3),
        "chelsea": (300, 451, 3),
        "coffee": (400, 600, 3),
        "rocket": (427, 640, 3),
        "motorcycle": (500, 741, 3),
    }


def test_a_made_image_may_be_changed_without_changing_the_next() -> None:
    drawn = photos()
    drawn.make(0)[0][:] = 0
    assert drawn.make(0)[0].any()


def test_palettes_and_textures_from_folders(folder: Path) -> None:
    params = SourcesParams(count=2, size=96, palettes="folder", textures="folder")
    paths = PathsParams(palettes=str(folder), textures=str(folder))
    drawn = sources.source_set(SET, params, seed=3, paths=paths)
    recipe = drawn.make(1)[1]
    assert recipe["palette"]["name"] == "b.png" and recipe["textures"]["count"] == 3
    atlas = textures.folder(folder)
    assert atlas.names == ("a/c.png", "b.png", "d.webp") and atlas.shapes[:, 1].tolist() == [256] * 3
    embedded = sources.source_set(SET, params.model_copy(update={"textures": "embedded"}), seed=3, paths=paths)
    assert drawn.inputs() != embedded.inputs()


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


LATER = {"shape": {"disc": 0.5, "polygon": 0.5}, "shading": 0.4, "depth_blur": 2.0, "r_min": 3.0, "supersample": 2}


def test_later_options_are_recorded_where_they_are_on_and_drawn_again_from_the_record() -> None:
    params = SourcesParams(count=3, size=96, palettes="drawn", **LATER)
    drawn = sources.source_set(SET, params, seed=3)
    image, recipe = drawn.make(2)
    assert recipe["palette"] == {"name": "drawn"} and 0 <= recipe["focus"] < 1
    assert {name: recipe[name] for name in LATER} == LATER
    again = rebuild.rebuild(json.loads(json.dumps(drawn.inputs(range(0)))), count=3)
    assert np.array_equal(again.make(2)[0], image)
    assert not {"shading", "depth_blur"} & (leaves().inputs()["settings"].keys() | leaves().make(0)[1].keys())


def test_each_later_option_changes_the_image_and_none_changes_the_leaves() -> None:
    plain, before = leaves("dead_leaves", size=(96, 96)).make(0)
    for options in ({"shading": 0.4}, {"depth_blur": 2.0}):
        image, recipe = leaves("dead_leaves", size=(96, 96), **options).make(0)
        assert recipe["leaves"] == before["leaves"] and not np.array_equal(image, plain)


def test_drawn_palettes_resemble_those_of_photographs() -> None:
    """CIE L*a*b* of 100 photographs of BSDS500: means 45, -4, 10; deviations within an image 20, 7, 12."""
    drawn = [palettes.draw(generator(1, "test/palettes", index), 400) for index in range(300)]
    lab = cv2.cvtColor(np.stack(drawn).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert lab.mean(axis=(0, 1)) == pytest.approx([45, -4, 10], abs=3.5)
    assert lab.std(axis=1).mean(axis=0) == pytest.approx([20, 7, 12], rel=0.2)
    assert np.array_equal(drawn[7], palettes.draw(generator(1, "test/palettes", 7), 400))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": 1.5}, "alpha 1.5"),
        ({"supersample": 0}, "supersample 0"),
        ({"shape": "star"}, "shape 'star'"),
        ({"shading": 1.1}, "shading 1.1"),
        ({"depth_blur": -1.0}, "depth_blur -1.0"),
        ({"r_min": 9.0, "r_max": 3.0}, "r_min 9.0, r_max 3.0"),
    ],
)
def test_impossible_values_are_named(values: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        leaves(**values)


def test_unknown_sets_and_empty_or_missing_folders_are_named(tmp_path: Path) -> None:
    given = SourcesParams(palettes="folder", textures="folder")
    for name, params, paths, message in (
        ("cats", SourcesParams(), PathsParams(), "'cats' is none of"),
        ("dead_leaves", given, PathsParams(), "sources.palettes: folder, but run.paths.palettes names none"),
        ("dead_leaves", given, PathsParams(palettes=str(tmp_path)), "has no images"),
        ("dead_leaves", given, PathsParams(palettes="/nowhere"), "/nowhere is not a folder"),
    ):
        with pytest.raises(SourceError, match=message):
            sources.source_set(name, params, seed=0, paths=paths)
    textured = SourcesParams(textures="folder")
    with pytest.raises(SourceError, match="has 0 images"):
        sources.source_set(SET, textured, seed=0, paths=PathsParams(textures=str(tmp_path))).make(0)
