"""A folder as a set: the same choice from any layout and engine, one replaced for one removed, every reason reached."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import images, sources
from pipeline.engine import Engine
from pipeline.params.sections import DanbooruParams, FolderParams, SourcesParams
from pipeline.sources import SourceError
from pipeline.sources.folder import image_filters
from pipeline.sources.folder.danbooru import PostRules
from pipeline.sources.folder.folder_set import FolderSet, choose
from pipeline.sources.folder.image_filters import apply_filters
from tests.sources import fixtures

SMALL = FolderParams(min_side=64)


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixtures.danbooru(tmp_path_factory.mktemp("danbooru"), range(1, 61))


def ids(chosen: FolderSet) -> list[str]:
    return [entry.candidate.id for entry in chosen.chosen]


def test_a_choice_is_the_same_from_a_tree_a_tar_and_lists(posts: Path, tmp_path: Path) -> None:
    expected = ids(choose(posts, seed=4, count=12))
    assert ids(choose(fixtures.tarred(posts / "512px", tmp_path / "posts.tar"), seed=4, count=12)) == expected
    paths = [path.relative_to(posts).as_posix() for path in posts.rglob("*.jpg")]
    random.Random(1).shuffle(paths)
    (posts / "list.txt").write_text("# chosen by hand\n" + "\n".join(paths))
    (posts / "list.jsonl").write_text("\n".join(json.dumps({"path": path}) for path in paths))
    for name in ("list.txt", "list.jsonl"):
        assert ids(choose(posts / name, seed=4, count=12)) == expected
    assert ids(choose(posts, seed=5, count=12)) != expected


def test_listing_order_does_not_matter(posts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = choose(posts, seed=4, count=12)
    entries = list(images.walk(posts))
    monkeypatch.setattr(images, "walk", lambda root: random.Random(1).sample(entries, len(entries)))
    assert choose(posts, seed=4, count=12) == expected


@pytest.mark.parametrize("engine", [Engine("serial"), Engine("processes", 2), Engine("processes", 3)])
def test_engine_and_workers_do_not_matter(posts: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.folder.folder_set.BLOCK", 5)
    chosen = choose(posts, seed=4, count=12, mapper=lambda function, tasks: engine.map(function, tasks, describe="t"))
    assert chosen == choose(posts, seed=4, count=12)


@pytest.mark.slow
def test_ray_gives_the_same_choice(posts: Path, ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.folder.folder_set.BLOCK", 5)
    engine = Engine("ray", 2, ray_cluster)
    chosen = choose(posts, seed=4, count=12, mapper=lambda function, tasks: engine.map(function, tasks, describe="t"))
    assert chosen == choose(posts, seed=4, count=12)


def test_fewer_are_a_part_of_more_and_removing_one_replaces_one(posts: Path, tmp_path: Path) -> None:
    many = ids(choose(posts, seed=4, count=30))
    assert ids(choose(posts, seed=4, count=12)) == many[:12]
    copy = tmp_path / "copy"
    for path in posts.rglob("*.jpg"):
        (copy / path.name).parent.mkdir(exist_ok=True)
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / f"{many[3]}.jpg").unlink()
    (copy / f"{many[6]}.jpg").write_bytes(fixtures.refused()["truncated.jpg"][1])
    chosen = choose(copy, seed=4, count=12)
    assert ids(chosen) == [name for k, name in enumerate(many[:14]) if k not in (3, 6)]
    assert chosen.reasons == (("broken", 1),)


def test_every_reason_of_an_image_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_filters, "MAX_PIXELS", 2**20)
    for name, (_, content) in fixtures.refused().items():
        (tmp_path / name).write_bytes(content)
    good = images.encode(fixtures.picture(1), "png")
    (tmp_path / "good.png").write_bytes(good)
    (tmp_path / "same.qoi").write_bytes(images.encode(fixtures.picture(1), "qoi"))
    (tmp_path / "a_folder.png").mkdir()
    os.mkfifo(tmp_path / "a_pipe.png")  # opening it would wait for a writer
    (tmp_path / "list.txt").write_text("\n".join([*sorted(os.listdir(tmp_path)), "gone.png", "n\0ul.png"]))
    with pytest.raises(SourceError, match="gives 1 of the 2 images asked for") as error:
        choose(tmp_path / "list.txt", seed=0, count=2)
    assert str(error.value).split("refused: ")[1] == (
        "animated 1, blank 1, broken 2, colour mode 1, duplicate 1, format 2, missing 1, name 1, profile 2, small 2, "
        "too large 1, transparent 1, unreadable 2"
    )


def test_a_name_that_is_not_utf8_is_refused_by_that_reason(tmp_path: Path) -> None:
    data = images.encode(fixtures.picture(1), "png")
    (tmp_path / "good.png").write_bytes(data)
    try:
        _written(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfa.png")), data)
    except OSError as error:
        pytest.skip(f"this file system has no such names ({error.strerror})")
    assert ids(choose(tmp_path, seed=0, count=1)) == ["good"]
    with pytest.raises(SourceError, match="gives 1 of the 2 images asked for; refused: name 1"):
        choose(tmp_path, seed=0, count=2)


def test_formats_that_are_not_read_are_counted(tmp_path: Path) -> None:
    still = fixtures.refused()["still.gif"][1]
    for name in ("a.GIF", "b.tif", "c.avif"):
        _written(tmp_path / name, still)
    _written(tmp_path / "d.png", images.encode(fixtures.picture(1), "png"))
    with pytest.raises(SourceError, match="gives 1 of the 2 images asked for; refused: format 3"):
        choose(tmp_path, seed=0, count=2)


def test_a_tar_may_repeat_a_name(tmp_path: Path) -> None:
    """As ``tar --append`` leaves it: each member is judged, and read again, as itself."""
    for key in (1, 2):
        (tmp_path / "x.png").write_bytes(images.encode(fixtures.picture(key), "png"))
        with tarfile.open(tmp_path / "twice.tar", "a") as archive:
            archive.add(tmp_path / "x.png", "x.png")
    chosen = choose(tmp_path / "twice.tar", seed=0, count=2)
    assert [np.array_equal(chosen.make(k)[0], fixtures.picture(k + 1)) for k in range(2)] == [True, True]


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode(fixtures.picture(1), "png"))
    assert ids(choose(_written(tmp_path / "list.txt", b"\xef\xbb\xbfa.png\r\n"), seed=0, count=1)) == ["a"]


@pytest.mark.parametrize("name", fixtures.refused())
def test_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_filters, "MAX_PIXELS", 2**20)
    reason, content = fixtures.refused()[name]
    judged = apply_filters(content, FolderParams())
    assert (judged.reason, judged.image) == (reason, None)


def test_too_many_pixels_or_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = images.encode(fixtures.picture(1), "png")
    (tmp_path / "a.png").write_bytes(data)
    with monkeypatch.context() as patched:
        patched.setattr(image_filters, "MAX_PIXELS", 1000)
        assert apply_filters(data, FolderParams()).reason == "too large"
    monkeypatch.setattr("pipeline.sources.folder.folder_set.LIMIT", 100)
    with pytest.raises(SourceError, match="too large 1"):
        choose(tmp_path, seed=0, count=1)


def test_grey_images_are_kept_or_refused_by_rule() -> None:
    grey = np.repeat(fixtures.picture(1)[..., :1], 3, axis=2)
    data = fixtures.jpeg(grey, "L")
    kept = apply_filters(data, FolderParams())
    assert kept.actions == ("grey",) and kept.mode == "L"
    assert apply_filters(data, FolderParams(allow_grey=False)).reason == "grey"


def test_uniform_borders_are_cut_and_long_sides_reduced_never_enlarged() -> None:
    inner = fixtures.picture(6, 300, 600)
    boxed = np.full((420, 640, 3), (10, 0, 80), np.uint8)
    boxed[50:350, 20:620] = inner
    judged = apply_filters(images.encode(boxed, "png"), FolderParams(max_side=None))
    assert np.array_equal(judged.image, inner) and judged.actions == ("trimmed",)
    reduced = apply_filters(images.encode(boxed, "png"), FolderParams())
    assert reduced.image.shape == (256, 512, 3) and reduced.actions == ("trimmed", "reduced")
    assert (
        apply_filters(images.encode(boxed, "png"), FolderParams(max_side=None, trim=False)).image.shape == boxed.shape
    )
    assert apply_filters(images.encode(inner, "png"), FolderParams(max_side=2000)).image.shape == inner.shape


def test_alpha_is_laid_over_white_and_foreign_profiles_converted() -> None:
    image = fixtures.picture(7)
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:60] = 0
    judged = apply_filters(fixtures.png(Image.fromarray(np.dstack([image, alpha]))), FolderParams(min_side=200))
    assert judged.mode == "RGBA" and judged.actions == ("over white", "trimmed")
    assert np.array_equal(judged.image, image[60:])
    swapped = apply_filters(fixtures.wide_gamut(image), FolderParams())
    assert "to sRGB" in swapped.actions
    assert np.abs(swapped.image.astype(int) - image[..., ::-1]).max() <= 8


@pytest.mark.parametrize("schema", ["2020", "2021"])
def test_metadata_of_both_schemas_filter_by_rating_tag_and_state(tmp_path: Path, schema: str) -> None:
    root = fixtures.danbooru(tmp_path, range(1, 41), schema=schema)
    (tmp_path / "posts2.json").write_text("")
    (tmp_path / "excluded.txt").write_text("12\n13\n")
    fixtures.danbooru(tmp_path / "more", range(900, 901))
    (tmp_path / "more" / "metadata" / "posts.json").unlink()
    rules = PostRules(
        DanbooruParams(exclude_tags=("photo",)),
        metadata=(tmp_path / "posts2.json", root / "metadata" / "posts.json"),
        exclude_ids=tmp_path / "excluded.txt",
    )
    allowed = {k for k in range(1, 41) if k % 5 and k % 10 != 1 and k not in (7, 8, 12, 13)}
    chosen = choose(root, seed=1, count=len(allowed), posts=rules)
    assert {int(name) for name in ids(chosen)} == allowed
    with pytest.raises(SourceError) as error:
        choose(root, seed=1, count=len(allowed) + 1, posts=rules)
    assert str(error.value).endswith("banned 1, deleted 1, excluded id 2, no metadata 1, rating 8, tag 4")


@pytest.mark.parametrize(
    ("release", "ratings", "refused"),
    [
        (2021, ("s", "g", "q"), "2021, whose ratings are s, q, e, but .*m.json, line 2 has rating 'g'"),
        (2021, ("safe", "sensitive"), ".* line 2 has rating 'sensitive'"),
        (2022, ("general", "safe"), "2022, whose ratings are g, s, q, e, but .* has rating 'safe'"),
        (2022, ("g", "x"), ".* line 2 has rating 'x'"),
        (2022, ("s", "q"), "2022, but no post of .*m.json is rated g"),
    ],
)
def test_ratings_that_contradict_the_release_stop_and_name_the_key(
    tmp_path: Path, release: int, ratings: tuple[str, ...], refused: str
) -> None:
    """Only post 1 is asked for: any line may tell that the dump is of another year."""
    (tmp_path / "1.png").write_bytes(images.encode(fixtures.picture(1), "png"))
    lines = [json.dumps({"id": key, "rating": rating}) for key, rating in enumerate(ratings, 1)]
    metadata = (_written(tmp_path / "m.json", "\n".join(lines).encode()),)
    with pytest.raises(SourceError, match="sources.danbooru.release: " + refused):
        choose(tmp_path, seed=0, count=1, posts=PostRules(DanbooruParams(release=release), metadata))


def test_params_that_refuse_every_image_are_named() -> None:
    with pytest.raises(ValueError, match="sources.danbooru.ratings: g is no rating of release 2021"):
        DanbooruParams(release=2021, ratings=("g",))
    with pytest.raises(ValueError, match="sources.folder.max_side: 100 is below sources.folder.min_side"):
        FolderParams(max_side=100)


def test_ratings_may_be_words_or_missing(tmp_path: Path) -> None:
    for key in (1, 2, 3):
        (tmp_path / f"{key}.png").write_bytes(images.encode(fixtures.picture(key), "png"))
    lines = [{"id": 1, "rating": "general"}, {"id": 2, "rating": None}, {"id": 3, "rating": "sensitive"}]
    metadata = (_written(tmp_path / "m.json", "\n".join(map(json.dumps, lines)).encode()),)
    with pytest.raises(SourceError, match="gives 1 of the 2 images asked for; refused: rating 2"):
        choose(tmp_path, seed=0, count=2, posts=PostRules(DanbooruParams(release=2022), metadata))


def test_what_is_safe_depends_on_the_release() -> None:
    assert PostRules(DanbooruParams(release=2020)).allowed() == ("s",) and PostRules(
        DanbooruParams(release=2022)
    ).allowed() == ("g",)
    assert PostRules(DanbooruParams(release=2022, ratings=("g", "s"))).allowed() == ("g", "s")


def test_an_image_is_its_file_and_a_changed_file_is_refused(posts: Path, tmp_path: Path) -> None:
    mine = sources.source_set("danbooru", SourcesParams(count=3, folder=SMALL), seed=4, folder=posts)
    image, recipe = pickle.loads(pickle.dumps(mine)).make(1)
    assert np.array_equal(image, images.read(posts / recipe["path"]))
    assert json.loads(json.dumps(recipe)) == recipe and recipe["id"] == mine.chosen[1].candidate.id
    assert mine.inputs(range(0, 2))["files"] == mine.inputs()["files"][:2]
    assert mine.inputs(range(0, 0))["files"] == []
    (tmp_path / "a.png").write_bytes(images.encode(fixtures.picture(1), "png"))
    (tmp_path / "b.png").write_bytes(images.encode(fixtures.picture(2), "png"))
    other = choose(tmp_path, seed=0, count=2)
    (tmp_path / "a.png").write_bytes(images.encode(fixtures.picture(3), "png"))
    (tmp_path / "b.png").unlink()
    for index in range(2):
        with pytest.raises(SourceError, match="has changed since it was chosen|cannot be read any more"):
            other.make(index)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nothing", "is neither a folder nor"),
        (lambda root: _written(root / "bad.tar", b"x" * 600), "cannot be read as an uncompressed tar"),
        (lambda root: _written(root / "up.txt", b"../a.png"), "leads out of the list's folder"),
        (lambda root: _written(root / "latin.txt", b"a.png\n\xe9.png\n"), "latin.txt, line 2: not UTF-8"),
        (lambda root: _written(root / "bad.jsonl", b"{nonsense"), "line 1: neither a JSON string"),
        (lambda root: root, "no more images"),
    ],
)
def test_what_cannot_be_listed_is_named(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        choose(make(tmp_path), seed=0, count=1)


def test_metadata_that_cannot_be_read_are_named(posts: Path, tmp_path: Path) -> None:
    bad = _written(tmp_path / "bad.json", b'{"id": 1, "rating":\n')
    everything = tuple(f"{k}" for k in range(1, 61))
    assert everything
    with pytest.raises(SourceError, match="bad.json, line 1: not a JSON object"):
        choose(posts, seed=4, count=60, posts=PostRules(metadata=(bad,)))
    with pytest.raises(SourceError, match="none.json is missing"):
        choose(posts, seed=4, count=1, posts=PostRules(metadata=(tmp_path / "none.json",)))


@pytest.mark.parametrize("tags", [["solo", "photo"], "solo photo", [{"name": "photo"}, {"name": ["odd"]}, None]])
def test_tags_may_be_words_names_or_objects_and_ids_any_name(posts: Path, tmp_path: Path, tags: object) -> None:
    (tmp_path / "my_work.png").write_bytes(images.encode(fixtures.picture(1), "png"))
    lines = ["", json.dumps({"id": "my_work", "rating": "s", "tags": tags}), ""]
    metadata = (_written(tmp_path / "m.json", "\n".join(lines).encode()),)
    assert ids(choose(tmp_path, seed=0, count=1, posts=PostRules(metadata=metadata))) == ["my_work"]
    with pytest.raises(SourceError, match="refused: tag 1"):
        choose(tmp_path, seed=0, count=1, posts=PostRules(DanbooruParams(exclude_tags=("photo",)), metadata))


@pytest.mark.parametrize("packed", [gzip.compress(b'{"id": 1}', mtime=0), '{"id": 1}'.encode("utf-16"), b'[{"id": 1}]'])
def test_metadata_that_are_no_json_lines_are_named(posts: Path, tmp_path: Path, packed: bytes) -> None:
    metadata = (_written(tmp_path / "m.json", packed),)
    with pytest.raises(SourceError, match="m.json, line 1: not a JSON object"):
        choose(posts, seed=4, count=1, posts=PostRules(metadata=metadata))


def test_excluded_ids_may_begin_with_a_byte_order_mark_and_must_be_text(tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(images.encode(fixtures.picture(1), "png"))
    with pytest.raises(SourceError, match="refused: excluded id 1"):
        choose(tmp_path, seed=0, count=1, posts=PostRules(exclude_ids=_written(tmp_path / "a", b"\xef\xbb\xbf7\n")))
    with pytest.raises(SourceError, match="is not UTF-8"):
        choose(tmp_path, seed=0, count=1, posts=PostRules(exclude_ids=_written(tmp_path / "b", b"\xff7\n")))


def test_nothing_but_hashes_and_ids_is_kept(posts: Path) -> None:
    assert len(pickle.dumps(choose(posts, seed=4, count=30))) < 30 * 1000
    assert image_filters.LIMIT == 2**28


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
