"""`synthetic-iqa score`: 500 files of every kind, 20 of them broken in 20 ways; every one has a row."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline import images
from pipeline.encoder.network import ResNet, initialise
from pipeline.encoder.weights import save_encoder
from pipeline.engine import Engine
from pipeline.features import load_extractor
from pipeline.scoring import FileRow, Linear, Regressor, Scorer, load_regressor, measure_files, memory, save_regressor
from tests.scoring.extractors import Toy

Run = Callable[..., tuple[int, str, str]]
SIZES = ((32, 32), (48, 40), (33, 57), (64, 48), (96, 64))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stored encoder of width 16, and a regressor for it."""
    folder = tmp_path_factory.mktemp("project")
    trunk = ResNet(18, 16)
    initialise(trunk, torch.Generator().manual_seed(1))
    sha256 = save_encoder(folder / "data/models/small", trunk, "small", {})
    draw, dim = np.random.default_rng(2), 2 * trunk.dim
    modes = {mode: Linear(draw.normal(size=dim), draw.uniform(size=dim), np.ones(dim), 3.0) for mode in ("nr", "fr")}
    about = {
        "encoder": "small", "weights_sha256": sha256, "database": "photos", "dim": dim, "higher_is_better": True,
        "range": [1.0, 5.0], "modes": {"nr": {}, "fr": {}},
    }  # fmt: skip
    save_regressor(folder / "data/regressors/small/photos", modes, about)
    return folder


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch, synthetic_iqa: Run) -> Run:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys.modules["pipeline.cli.files"], "RELEASED", (Path("released"),))
    return partial(synthetic_iqa, "score")


@pytest.fixture
def run_features(run: Run, synthetic_iqa: Run) -> Run:
    return partial(synthetic_iqa, "features")


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def encoded(image: np.ndarray, form: str, mode: str = "RGB", **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(image).convert(mode).save(sink, form, **options)
    return sink.getvalue()


def whole(index: int) -> tuple[str, bytes]:
    """The ``index``-th good file: its ending and its bytes."""
    image = picture(index, SIZES[index % len(SIZES)])
    kinds: list[Callable[[], tuple[str, bytes]]] = [
        lambda: ("png", images.encode(image, "png")),
        lambda: ("jpg", encoded(image, "JPEG", quality=80)),
        lambda: ("JPEG", encoded(image, "JPEG", "L")),
        lambda: ("webp", encoded(image, "WEBP")),
        lambda: ("qoi", images.encode(image, "qoi")),
        lambda: ("bmp", encoded(image, "BMP")),
        lambda: ("jxl", images.encode(image, "jxl")),
        lambda: ("png", encoded(image, "PNG", "RGBA")),
        lambda: ("png", encoded(image, "PNG", "LA")),
        lambda: ("png", encoded(image, "PNG", "P")),
        lambda: ("png", imagecodecs.png_encode(image.astype(np.uint16) * 257)),
        lambda: ("png", encoded(image, "JPEG")),  # the ending lies, the content is whole
    ]
    return kinds[index % len(kinds)]()


def bomb(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def break_twenty(folder: Path) -> dict[str, str]:
    """Twenty files that can't be scored below ``folder``: name -> what is said of it."""
    png, jpg = images.encode(picture(1), "png"), encoded(picture(1), "JPEG")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 255
    frames = [Image.fromarray(picture(i)) for i in range(2)]
    moving = io.BytesIO()
    frames[0].save(moving, "WEBP", save_all=True, append_images=frames[1:])
    files = {
        "cut.png": (png[: len(png) // 2], "cut short"),
        "cut.jpg": (jpg[: len(jpg) // 2], "damaged: part of its data is missing"),
        "cut.webp": (images.encode(picture(1), "webp")[:400], "cut short"),
        "cut.qoi": (images.encode(picture(1), "qoi")[:-20], "cut short"),
        "cut.bmp": (encoded(picture(1), "BMP")[:500], "broken bmp"),
        "cut.jxl": (images.encode(picture(1), "jxl")[:300], "broken jxl"),
        "head_only.png": (png[:12], "broken png header"),
        "flipped.png": (bytes(flipped), "damaged: the checksum of its IDAT chunk is wrong"),
        "empty.png": (b"", "an empty file"),
        "text.png": (b"this is not an image\n", "not a PNG, JPEG"),
        "page.jpg": (b"<!doctype html><title>404</title>", "not a PNG, JPEG"),
        "bomb.png": (bomb(60_000, 60_000), "over the cap"),
        "cmyk.jpg": (encoded(picture(1), "JPEG", "CMYK"), "CMYK"),
        "moving.webp": (moving.getvalue(), "an animation"),
        "nan.tiff": (encoded_float(), "not a PNG, JPEG"),
        "old.gif": (encoded(picture(1), "GIF"), "not a PNG, JPEG"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.png").mkdir()
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    others = {
        "folder.png": "a folder, not an image",
        "dangling.png": "no such file",
        "loop.png": "too many",
        "pipe.png": "not a regular file",
    }
    return {name: said for name, (_, said) in files.items()} | others


def encoded_float() -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(sink, "TIFF")
    return sink.getvalue()


def scored(scorer: Scorer, files: Sequence[Path], **options: Any) -> list[FileRow]:
    """The rows in the order of the files."""
    return [row for _, row in sorted(measure_files(scorer, files, **options))]


def toy_regressor(folder: Path) -> Regressor:
    """The sum of two numbers."""
    about = {
        "encoder": "toy",
        "weights_sha256": "ab" * 32,
        "database": "toys",
        "dim": 2,
        "higher_is_better": True,
        "range": [0, 1],
        "modes": {"nr": {}},
    }
    save_regressor(folder, {"nr": Linear(np.ones(2), np.zeros(2), np.ones(2), 0.0)}, about)
    return load_regressor(folder)


def test_500_mixed_files_of_which_20_are_broken(run: Run, tmp_path: Path) -> None:
    top = tmp_path / "mixed"
    for index in range(480):
        ending, data = whole(index)
        place = top / ("" if index % 3 else f"deep/{index % 7}")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"image{index:03d}.{ending}").write_bytes(data)
    broken = break_twenty(top)
    (top / "notes.txt").write_text("not an image")
    assert len(broken) == 20
    code, out, err = run(top, "--out", tmp_path / "scores.parquet")
    assert code == 1
    assert out == (
        f"{tmp_path}/scores.parquet: 480 scored, 20 failed; 1 other files left alone; "
        "higher is better, photos runs from 1 to 5\n"
    )
    table = pq.read_table(tmp_path / "scores.parquet")
    rows = {Path(row["path"]).name: row for row in table.to_pylist()}
    assert len(table) == len(rows) == 500
    assert table["score"].null_count == 20 and table["error"].null_count == 480
    for name, said in broken.items():
        assert said in rows[name]["error"] and rows[name]["score"] is None, (name, rows[name]["error"])
        assert err.count(f"{top / name}: {rows[name]['error']}\n") == 1
    assert err.count("synthetic-iqa: ") == 20
    good = [row for row in rows.values() if row["error"] is None]
    assert all(np.isfinite(row["score"]) and row["higher_is_better"] for row in good)
    assert (rows["image002.JPEG"]["width"], rows["image002.JPEG"]["height"]) == (57, 33)


def test_a_score_is_the_same_alone_and_among_others(run: Run, project: Path, tmp_path: Path) -> None:
    files = []
    for index in range(40):
        ending, data = whole(index)
        files.append(tmp_path / f"{index:02d}.{ending}")
        files[-1].write_bytes(data)
    folder = project / "data/models/small"
    regressor = load_regressor(project / "data/regressors/small/photos")
    scorer = Scorer(load_extractor(folder), regressor)
    together = scored(scorer, files)
    assert [row.path for row in together] == files
    for row in together[::7]:
        image = images.read(row.path)
        feature = load_extractor(folder).extract([image])
        assert row.value == pytest.approx(float(regressor.modes["nr"].predict(feature)[0]), abs=1e-4)
    assert len({row.value for row in together}) == 40


def test_a_list_on_stdout_names_scores_direction_and_range(run: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(images.encode(picture(ord(name[0])), "png"))
    code, out, err = run(tmp_path / "b.png", tmp_path, tmp_path / "b.png")
    lines = out.splitlines()
    assert code == 0 and not err and len(lines) == 3
    assert [line.split(maxsplit=1)[1] for line in lines[:2]] == [f"{tmp_path}/b.png", f"{tmp_path}/a.png"]
    assert lines[2] == "small/photos: 2 scored, 0 failed; higher is better, photos runs from 1 to 5"


def test_turned_images_are_scored_upright_and_told_once(run: Run, tmp_path: Path) -> None:
    photo = Image.fromarray(picture(3, (96, 64)))
    photo.save(tmp_path / "upright.png")
    exif = Image.Exif()
    for orientation, turn in ((6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)):
        exif[274] = orientation
        photo.transpose(turn).save(tmp_path / f"turned{orientation}.png", exif=exif)
    code, out, err = run(tmp_path)
    assert code == 0 and err == "synthetic-iqa: 2 images are stored turned and were made upright\n"
    assert len({line.split()[0] for line in out.splitlines()[:3]}) == 1
    code, out, _ = run(tmp_path, "--reference", tmp_path / "upright.png")  # the sizes are those of the upright images
    assert code == 0 and len({line.split()[0] for line in out.splitlines()[:3]}) == 1


def test_csv_has_the_rows_of_parquet(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a, b.png").write_bytes(images.encode(picture(1), "png"))
    (tmp_path / "in" / "bad.png").write_bytes(b"")
    assert run(tmp_path / "in", "-o", tmp_path / "s.csv")[0] == 1
    assert run(tmp_path / "in", "-o", tmp_path / "s.parquet")[0] == 1
    csv, parquet = pyarrow.csv.read_csv(tmp_path / "s.csv"), pq.read_table(tmp_path / "s.parquet")
    assert csv.column_names == parquet.column_names
    assert csv["score"].to_pylist()[0] == pytest.approx(parquet["score"].to_pylist()[0], rel=1e-12)
    assert csv["path"].to_pylist() == parquet["path"].to_pylist()


def test_a_reference_scores_by_the_difference(run: Run, project: Path, tmp_path: Path) -> None:
    for name, seed, size in (("ref.png", 1, (48, 40)), ("a.png", 2, (48, 40)), ("other.png", 3, (32, 32))):
        (tmp_path / name).write_bytes(images.encode(picture(seed, size), "png"))
    given = [tmp_path / name for name in ("ref.png", "a.png", "other.png")]
    code, out, err = run(*given, "--reference", tmp_path / "ref.png")
    assert code == 1 and "other.png: 32 x 32, and the reference is 40 x 48" in err
    regressor = load_regressor(project / "data/regressors/small/photos")
    identical = regressor.modes["fr"].predict(np.zeros((1, regressor.card["dim"])))[0]
    assert float(out.split()[0]) == pytest.approx(identical, abs=6e-4)
    assert float(out.splitlines()[1].split()[0]) != float(out.split()[0])


def test_what_can_not_run_is_refused_in_one_line(run: Run, project: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode(picture(1), "png"))
    (tmp_path / "empty").mkdir()
    trunk = ResNet(18, 16)
    initialise(trunk, torch.Generator().manual_seed(2))
    save_encoder(tmp_path / "encoder", trunk, "other", {})
    for arguments, said in (
        ((tmp_path / "a.png", "-o", "x.txt"), "x.txt: a table of scores is written as .parquet or .csv"),
        ((tmp_path / "empty",), "no images here"),
        ((tmp_path / "a.png", "--regressor", "koniq10k"), "--regressor koniq10k: no such regressor; there are small/"),
        ((tmp_path / "a.png", "--encoder", tmp_path / "encoder"), "small/photos was made for weights"),
        ((tmp_path / "a.png", "--device", "tpu"), "--device tpu: not one of auto, cpu, cuda"),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and not out and said in err and err.count("\n") == 1, err
    code, out, err = run(tmp_path / "gone.png")
    assert code == 1 and "gone.png: no such file or folder" in err


def test_a_regressor_sees_images_at_its_databases_short_side(project: Path, tmp_path: Path) -> None:
    regressor = load_regressor(project / "data/regressors/small/photos")
    save_regressor(tmp_path / "r", regressor.modes, {**regressor.card, "short_side": 32})
    extractor = load_extractor(project / "data/models/small")
    scorer = Scorer(extractor, load_regressor(tmp_path / "r"))
    image = picture(5, (96, 64))
    small = extractor.extract([images.to_short_side(image, 32)])
    assert scorer.values([image])[0] == pytest.approx(float(regressor.modes["nr"].predict(small)[0]), abs=1e-9)
    assert scorer.values([image])[0] != Scorer(extractor, regressor).values([image])[0]


def test_an_image_that_the_extractor_can_not_take_is_its_own_failure(project: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(files):
        path.write_bytes(images.encode(picture(seed), "png"))
    marked = picture(2)

    class Picky:
        name, dim, sha256 = "picky", 2, "ab" * 32

        def extract(self, pictures):
            if any((image == marked).all() for image in pictures):
                raise MemoryError
            return np.array([[image.mean(), np.nan if (image == picture(3)).all() else 1] for image in pictures])

    toy_regressor(tmp_path / "r")
    rows = scored(Scorer(Picky(), load_regressor(tmp_path / "r")), files)
    assert [row.error for row in rows] == ["", "", "MemoryError", "its features are not all finite"]
    assert rows[0].value == pytest.approx(picture(0).mean() + 1)


def written(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Path]:
    """A PNG file of each size, height and width, in order."""
    files = [folder / f"{number:03d}.png" for number in range(len(sizes))]
    for number, (path, size) in enumerate(zip(files, sizes, strict=True)):
        path.write_bytes(images.encode(picture(number, size), "png"))
    return files


def test_rows_do_not_depend_on_the_workers_and_a_killed_one_is_a_row(tmp_path: Path) -> None:
    files = written(tmp_path, [(40, 40), (40, 48), (24, 40), *[(40, 40)] * 15])
    fitted = toy_regressor(tmp_path / "r")
    alone = scored(Scorer(Toy(), fitted), files)
    assert all(row.value is not None for row in alone)
    shared = scored(Scorer(Toy(deadly=24), fitted), files, engine=Engine("processes", 2))
    assert [row.path for row in shared] == files
    assert "its worker process was ended (killed by SIGKILL): too little memory" in shared[2].error
    assert shared[:2] + shared[3:] == alone[:2] + alone[3:]


def test_what_needs_more_memory_than_is_free_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, [(40, 40), (300, 300), (40, 40)])
    monkeypatch.setattr(memory, "free_memory", lambda: 2**20)
    rows = scored(Scorer(Toy(bytes_per_pixel=20), toy_regressor(tmp_path / "r")), files)
    assert [row.error for row in rows] == ["", "needs about 2 MiB of memory, and 1 are free", ""]


def test_work_that_is_larger_than_a_share_waits_until_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 100)
    (tmp_path / "lock").touch()
    with open(tmp_path / "lock", "rb") as other:
        for need, held in ((50, fcntl.LOCK_SH), (51, fcntl.LOCK_EX)):
            with memory.memory_for(need, tmp_path / "lock", workers=2):
                with contextlib.ExitStack() as stack:
                    if held == fcntl.LOCK_EX:
                        stack.enter_context(pytest.raises(BlockingIOError))
                    fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(other, fcntl.LOCK_UN)


def test_degenerate_images_are_errors_or_noted(tmp_path: Path) -> None:
    files = written(tmp_path, [(1, 1), (33, 1), (31, 900), (32, 32), (32, 170), (64, 64)])
    files[-1].write_bytes(images.encode(np.full((64, 64, 3), 200, np.uint8)))
    clear = tmp_path / "transparent.png"
    Image.new("RGBA", (64, 64), (10, 200, 30, 0)).save(clear)
    rows = scored(Scorer(Toy(smallest_side=32), toy_regressor(tmp_path / "r")), [*files, clear])
    small = [f"{size}: below the 32 pixels a side that toy was made for" for size in ("1 x 1", "1 x 33", "900 x 31")]
    assert [row.error for row in rows] == [*small, "", "", "", "no visible pixel, the whole image is transparent"]
    assert [row.note for row in rows[3:6]] == ["", "an unusual aspect, 5 to 1", "all pixels have one colour"]


@pytest.mark.parametrize(("params", "side"), [({"crop": 96}, 96), (None, 32)])
def test_the_smallest_side_is_that_of_the_crops(tmp_path: Path, params: dict[str, int] | None, side: int) -> None:
    save_encoder(tmp_path, ResNet(18, 16), "some", {} if params is None else {"params": params})
    assert load_extractor(tmp_path).smallest_side == side


def test_ctrl_c_leaves_a_table_of_what_is_done(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, [(40, 40)] * 5)

    def stopped(scorer: Scorer, files: Sequence[Path], **_: Any) -> Iterator[tuple[int, FileRow]]:
        yield 3, FileRow(files[3], 2.5)
        yield 0, FileRow(files[0], 1.5)
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.scoring.measure_files", stopped)
    code, out, _ = run(*files, "--out", tmp_path / "s.csv")
    assert code == 130 and "2 scored, 0 failed, 3 not looked at" in out
    assert pyarrow.csv.read_csv(tmp_path / "s.csv")["score"].to_pylist() == [1.5, 2.5]


def test_scores_are_printed_in_order_as_they_come(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, [(40, 40)] * 3)
    monkeypatch.setattr(
        "pipeline.scoring.measure_files", lambda *_, **__: ((i, FileRow(files[i], i)) for i in (2, 0, 1))
    )
    assert [line.split()[0] for line in run(*files)[1].splitlines()[:3]] == ["0.000", "1.000", "2.000"]


def test_features_of_a_folder_are_a_table_with_a_row_for_what_is_broken(run_features: Run, tmp_path: Path) -> None:
    top, table_of = tmp_path / "mixed", {}
    top.mkdir()
    for index in range(24):
        ending, data = whole(index)
        (top / f"image{index:02d}.{ending}").write_bytes(data)
    broken = break_twenty(top)
    for out in ("f.parquet", "f.csv"):
        code, said, err = run_features(top, "--encoder", "small", "--batch", 3, "--out", tmp_path / out)
        assert code == 1 and err.count("synthetic-iqa: ") == 20
        assert said == f"{tmp_path / out}: 24 features, 20 failed; 256 numbers each, by small\n"
        table_of[out] = tmp_path / out
    table, csv = pq.read_table(table_of["f.parquet"]), pyarrow.csv.read_csv(table_of["f.csv"])
    extractor = load_extractor(Path("data/models/small"))
    assert table.schema.metadata[b"weights_sha256"].decode() == extractor.sha256
    assert csv.column_names[1:257] == [f"feature_{number}" for number in range(256)]
    for position, row in enumerate(table.to_pylist()):
        name = Path(row["path"]).name
        number = csv["feature_255"][position].as_py()
        if name in broken:
            assert row["feature"] is None and number is None and broken[name] in row["error"]
        else:
            np.testing.assert_allclose(
                row["feature"], extractor.extract([images.read(Path(row["path"]))])[0], atol=1e-5
            )
            assert number == pytest.approx(row["feature"][255], abs=1e-7) and row["encoder"] == "small"


def test_ctrl_c_leaves_the_features_that_are_done(
    run_features: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = written(tmp_path, [(40, 40)] * 5)

    def stopped(_: Any, files: Sequence[Path], **__: Any) -> Iterator[tuple[int, FileRow]]:
        yield 3, FileRow(files[3], np.full(256, 2, np.float32))
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.scoring.measure_files", stopped)
    code, out, _ = run_features(*files, "--encoder", "small", "--out", tmp_path / "f.parquet")
    assert code == 130 and "1 features, 0 failed, 4 not looked at" in out
    assert pq.read_table(tmp_path / "f.parquet")["feature"].to_pylist() == [[2.0] * 256]


def test_features_by_an_encoder_that_is_not_there_are_refused(run_features: Run, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode(picture(1), "png"))
    for arguments, said in (
        (("--encoder", "large"), "large: no encoder of this name; there are released, small"),
        (("--encoder", "small", "--out", "f.npy"), "f.npy: a table of features is written as .parquet or .csv"),
    ):
        code, out, err = run_features(tmp_path / "a.png", "--out", "f.csv", *arguments)
        assert code == 2 and not out and said in err and err.count("\n") == 1, err
