"""The verbs as people use them: what they write, what they say, and how they fail."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts, cli, distortions, images, profiles
from pipeline.cli.distort import parent_generator
from pipeline.labels import label
from pipeline.params import load
from tests import profile
from tests.report import made

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path, monkeypatch, synthetic_iqa) -> Run:
    """Run a verb in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    return synthetic_iqa


def _photo(path: Path, seed: int = 0, codec: str = "png") -> np.ndarray:
    grey = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = np.kron(grey, np.ones((8, 8, 1), np.uint8))
    artifacts.write_bytes(path, images.encode(image, codec))
    return image


def test_help_starts_at_once_and_imports_nothing_heavy():
    code = (
        "import sys; import pipeline.cli; "
        "print([m for m in ('numpy', 'torch', 'ray', 'cv2', 'matplotlib', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    shown = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "--help"], capture_output=True
    )
    taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before  # of the processor: others may use it too
    assert shown.returncode == 0 and taken < 5  # 0.1 s
    assert all(verb in shown.stdout.decode() for verb in ("profile", "score", "sheet", "distort", "verify", "table"))


@pytest.mark.parametrize("name", profiles.profile_names())
def test_every_profile_is_put_in_place_and_is_valid(run, name):
    assert run("profile", name) == (0, f"params.yaml: profile {name}\n", "")
    assert Path("params.yaml").read_text() == profiles.profile_text(name)
    for other in profiles.profile_names():
        assert run("profile", other)[0] == 0
        assert load(Path("params.yaml")) == profile.read(other)
    run("profile", "small")
    assert Path("params.yaml").read_text() == profiles.profile_text("small")


def test_an_unknown_profile_lists_the_known(run):
    code, _, err = run("profile", "huge")
    assert code == 2 and err.count("\n") == 1
    assert "huge: no such profile; known are gpu_short, paper, small, tiny" in err
    assert not Path("params.yaml").exists()


def _change(*pairs: tuple[str, str]) -> str:
    path = Path("params.yaml")
    text = path.read_text()
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)
    return text


def test_a_profile_keeps_the_users_databases_folders_machine_and_comments(run):
    run("profile", "small")
    _change(
        ("engine: ray ", "engine: serial  # mine "),
        (
            "{folder: data/distorted/photos}",
            "{folder: data/distorted/photos}\n  live: {folder: /data/live}   # since May",
        ),
        ("  photos: {}\n", "  photos: {}\n  cats: {folder: /data/cats}\n"),
    )
    kept = "your machine, databases and folders stay"
    for name in ("tiny", "paper", "tiny"):
        assert run("profile", name) == (0, f"params.yaml: profile {name}; {kept}\n", "")
    given, tiny = load(Path("params.yaml")), profile.read("tiny")
    assert given.run.engine == "serial" and given.databases["live"].folder == "/data/live"
    assert given.sets["cats"].folder == "/data/cats" and "# mine" in (text := Path("params.yaml").read_text())
    assert "# since May" in text and "[rgb, lab, hsv, grey, ms]" in text
    own = {"run": tiny.run, "databases": tiny.databases, "sets": tiny.sets}
    assert given.model_copy(update=own) == tiny


def test_a_changed_value_stays_unless_forced(run):
    run("profile", "tiny")
    changed = _change(("seed: 1", "seed: 12"), ("  epochs: 1\n", "  epochs: 3\n"))
    code, _, err = run("profile", "small")
    assert code == 2 and "params.yaml: not as in any profile: seed, training.epochs; nothing was written" in err
    assert Path("params.yaml").read_text() == changed
    assert run("profile", "small", "--force") == (0, "params.yaml: profile small\n", "")
    assert load(Path("params.yaml")) == profile.read("small")


def test_a_refused_file_is_replaced_only_by_force(run):
    Path("params.yaml").write_text("sets: [photos]\n")
    code, _, err = run("profile", "tiny")
    assert code == 2 and "sets = [" in err and "--force replaces the file" in err
    assert Path("params.yaml").read_text() == "sets: [photos]\n"
    assert run("profile", "tiny", "--force")[0] == 0 and load(Path("params.yaml")) == profile.read("tiny")


def test_distort_writes_what_the_bank_makes_by_name_and_by_number(run, tmp_path):
    image = _photo(tmp_path / "a.png")
    assert run("distort", "a.png", "--type", "white_noise", "--level", 3, "--seed", 7, "-o", "by_name.png")[0] == 0
    assert run("distort", "a.png", "--type", "11", "--level", 3, "--seed", 7, "-o", "by_number.webp")[0] == 0
    assert run("distort", "a.png", "--type", "11", "--level", 3, "--seed", 8, "-o", "other.png")[0] == 0
    first = images.read(Path("by_name.png"))
    np.testing.assert_array_equal(first, images.read(Path("by_number.webp")))
    assert (first != images.read(Path("other.png"))).any()
    child = parent_generator(image, 7).spawn(126)[label(11, 3)]
    np.testing.assert_array_equal(first, distortions.distort(image, 11, 3, child))


def test_distort_takes_a_folder_and_loses_nothing(run, tmp_path):
    _photo(tmp_path / "in" / "a.png", 1)
    _photo(tmp_path / "in" / "a.webp", 2, "webp")
    _photo(tmp_path / "in" / "deep" / "b.qoi", 3, "qoi")
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "in" / "none.jpg").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    artifacts.write_bytes(tmp_path / "in" / "tiny.png", images.encode(np.zeros((5, 5, 3), np.uint8), "png"))
    code, out, err = run("distort", "in", "--type", "jpeg", "--level", 5, "-o", "out")
    assert code == 1
    assert out == "out: 3 written, 3 failed; 1 other files left alone\n"
    assert sorted(line.split(": ")[1] for line in err.splitlines()) == ["in/broken.png", "in/none.jpg", "in/tiny.png"]
    written = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert written == ["a.png.png", "a.webp.png", "deep/b.png"]
    run("distort", "in/a.png", "--type", "jpeg", "--level", 5, "-o", "alone.png")
    assert Path("alone.png").read_bytes() == Path("out/a.png.png").read_bytes()


def test_distort_and_sheet_make_images_upright_and_say_so_once(run, tmp_path):
    from PIL import Image, ImageOps

    exif = Image.Exif()
    exif[274] = 6
    photo = Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    Path("in").mkdir()
    for name in ("a", "b"):
        photo.save(f"in/{name}.png", exif=exif)
    ImageOps.exif_transpose(Image.open("in/a.png")).save("upright.png")
    code, _, err = run("distort", "in", "--type", "jpeg", "--level", 1, "-o", "out")
    assert (code, err) == (0, "synthetic-iqa: 2 images are stored turned and were made upright\n")
    run("distort", "upright.png", "--type", "jpeg", "--level", 1, "-o", "alone.png")
    assert Path("out/a.png").read_bytes() == Path("alone.png").read_bytes()
    assert images.read(Path("out/a.png")).shape == (96, 64, 3)
    code, _, err = run("sheet", "in/a.png", "--side", 48)
    assert code == 0 and "1 images are stored turned and were made upright" in err


def test_distort_without_a_name_writes_here_and_replaces_nothing(run, tmp_path):
    _photo(tmp_path / "in" / "photo.png")
    given = ("--type", 9, "--level", 3, "--seed", 7)
    assert run("distort", "in/photo.png", *given) == (0, "photo.jpeg2000.3.png: 1 written, 0 failed\n", "")
    assert run("distort", "in", *given)[:2] == (0, "in-jpeg2000-3: 1 written, 0 failed\n")
    first = Path("photo.jpeg2000.3.png").read_bytes()
    assert Path("in-jpeg2000-3/photo.png").read_bytes() == first
    for source, name in (("in/photo.png", "photo.jpeg2000.3.png"), ("in", "in-jpeg2000-3")):
        code, out, err = run("distort", source, *given)
        assert code == 2 and not out and err.startswith(f"synthetic-iqa: {name}: is there already")
        assert err.count("\n") == 1
        assert run("distort", source, *given, "-o", name)[0] == 0
    assert run("distort", "in/photo.png", *given, "--codec", "qoi")[1].startswith("photo.jpeg2000.3.qoi: 1 written")


def test_distort_gives_every_source_a_name_of_its_own(run, tmp_path):
    made = {}
    for seed, name in enumerate(("a.jpg", "a.png", "a.jpg.png", "a.jpg.png.png")):
        made[name] = _photo(tmp_path / "in" / name, seed)  # their content is PNG, whatever their ending
    assert run("distort", "in", "--type", 1, "--level", 1, "-o", "out")[1] == "out: 4 written, 0 failed\n"
    assert len(list(Path("out").iterdir())) == 4
    found = {images.read(path).tobytes() for path in Path("out").iterdir()}
    assert found == {distortions.pristine(image).tobytes() for image in made.values()}


def test_names_with_escape_codes_do_not_reach_the_terminal(run, tmp_path):
    Path("in").mkdir()
    Path("in/\x1b[31mred.png").write_bytes(b"no image")
    code, _, err = run("distort", "in", "--type", "jpeg", "--level", 1, "-o", "out")
    assert code == 1 and "\x1b" not in err and "in/\\x1b[31mred.png: a text file, not a PNG" in err
    code, _, err = run("distort", "in/\x1b]0;title", "--type", "jpeg", "--level", 1, "-o", "out.png")
    assert code == 2 and "\x1b" not in err


def test_distort_counts_an_unexpected_error_as_that_images_failure(run, tmp_path, monkeypatch):
    for seed, name in enumerate("abc"):
        _photo(tmp_path / "in" / f"{name}.png", seed)
    raised = iter((MemoryError(), RuntimeError("the codec says no")))
    whole = distortions.distort

    def breaks(image, *arguments, **keywords):
        error = next(raised, None)
        if error:
            raise error
        return whole(image, *arguments, **keywords)

    monkeypatch.setattr(distortions, "distort", breaks)
    code, out, err = run("distort", "in", "--type", 1, "--level", 2, "-o", "out")
    assert code == 1 and out == "out: 1 written, 2 failed\n"
    assert "in/a.png: MemoryError\n" in err and "in/b.png: RuntimeError: the codec says no\n" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.png", "--type", "sepia", "--level", 1, "-o", "x.png"), "--type sepia: not one of 1..25, gaussian_blur"),
        (("a.png", "--type", "26", "--level", 1, "-o", "x.png"), "--type 26: not one of"),
        (("a.png", "--type", "1", "--level", 1, "-o", "x.jpg"), "x.jpg: a distorted image is written lossless"),
        (("a.png", "--type", "1", "--level", 1, "-o", "a.png"), "a.png: is the file that is read"),
        (("nowhere", "--type", "1", "--level", 1, "-o", "x.png"), "nowhere: no such file or folder"),
        (("in", "--type", "1", "--level", 1, "-o", "in/out"), "in/out: lies in the folder that is read"),
        (("in", "--type", "1", "--level", 1, "-o", "a.png"), "a.png: is a file, and a folder was given"),
        (("in", "--type", "1", "--level", 1, "-o", "out"), "in: no images here"),
        (("a.png", "--type", "1", "--level", 1, "-o", "o.png", "--codec", "jpeg"), "--codec jpeg: not one of"),
    ],
)
def test_distort_refuses_in_one_line(run, tmp_path, arguments, said):
    _photo(tmp_path / "a.png")
    (tmp_path / "in").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("distort", *arguments)
    assert code == 2 and not out and err.count("\n") == 1
    assert said in err and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("level", [0, 6, "x"])
def test_distort_refuses_impossible_levels(run, tmp_path, level):
    _photo(tmp_path / "a.png")
    code, _, err = run("distort", "a.png", "--type", 1, "--level", level, "-o", "x.png")
    assert code == 2 and "--level" in err and "Traceback" not in err


def test_sheet_of_a_photo_has_all_classes(run, tmp_path):
    _photo(tmp_path / "a.png")
    code, out, _ = run("sheet", "a.png", "-o", "sheet.png", "--side", 64)
    drawn = images.read(Path("sheet.png"))
    assert code == 0 and out == f"sheet.png: {drawn.shape[1]} x {drawn.shape[0]}\n"
    assert drawn.shape[0] > 25 * 48 and drawn.shape[1] > 5 * 64
    first = Path("sheet.png").read_bytes()
    run("sheet", "a.png", "-o", "sheet.png", "--side", 64)
    assert Path("sheet.png").read_bytes() == first


def test_sheet_of_a_set_shows_its_sources(run, tmp_path):
    made.sources(tmp_path / "data", "mine")
    assert run("sheet", "--set", "mine", "-o", "set.webp")[0] == 0
    assert images.read(Path("set.webp")).shape[2] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a photo or --set NAME"),
        (("a.png", "--set", "mine"), "give a photo or --set NAME"),
        (("--set", "mine"), "data/sources/mine/manifest.json: missing"),
        (("gone.png",), "gone.png: no such file"),
        (("small.png",), "small.png: image: height and width must be 64"),
        (("a.png", "-o", "sheet.tiff"), "sheet.tiff: a sheet is written as"),
        (("a.png", "-o", "a.png"), "a.png: is the file that is read"),
    ],
)
def test_sheet_refuses_in_one_line(run, tmp_path, arguments, said):
    _photo(tmp_path / "a.png")
    artifacts.write_bytes(tmp_path / "small.png", images.encode(np.zeros((5, 5, 3), np.uint8), "png"))
    code, _, err = run("sheet", *arguments)
    assert code == 2 and err.count("\n") == 1 and said in err
    assert not Path("sheet.png").exists()


@pytest.fixture
def shards(tmp_path) -> Path:
    made.shards(tmp_path / "data", "mine")
    return tmp_path / "data"


def test_verify_finds_whole_folders_whole(run, shards):
    code, out, err = run("verify", "data")
    assert code == 0 and not err
    assert out.startswith("4 shards, ") and out.endswith(": as the manifests say\n")


def test_verify_names_every_damaged_file(run, shards):
    folder = shards / "distorted" / "mine"
    flipped = bytearray((folder / "distorted-00000.tar").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (folder / "distorted-00000.tar").write_bytes(flipped)
    with open(folder / "distorted-00001.tar", "r+b") as file:
        file.truncate(5000)
    (shards / "sources" / "mine" / "sources-00000.parquet").unlink()
    (shards / "sources" / "mine" / "sources-00001.tar.meta.json").write_text("{}")
    code, out, err = run("verify", "data")
    assert code == 1 and "4 problems" in out
    assert len(err.splitlines()) == 4
    assert "distorted-00000.tar: damaged" in err
    assert "distorted-00001.tar: damaged, its sha256 is not the manifest's (5000 bytes on disk" in err
    assert "sources-00000.parquet: listed in the manifest and missing" in err
    assert "sources-00001.tar.meta.json: damaged" in err


@pytest.mark.parametrize("content", ["not json", "[]", '{"shards": [{"name": 1}]}', "{}"])
def test_verify_names_a_broken_manifest(run, shards, content):
    (shards / "sources" / "mine" / "manifest.json").write_text(content)
    code, out, err = run("verify", "data/sources/mine", "data/distorted")
    assert code == 1 and "1 problems" in out
    assert err.count("\n") == 1 and "data/sources/mine/manifest.json: " in err


def test_verify_without_a_manifest_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "gone"):
        code, _, err = run("verify", folder)
        assert code == 2 and err == f"synthetic-iqa: {folder}: no manifest.json here or below\n"


@pytest.mark.parametrize(("library", "extra"), [("ray", "pipeline"), ("onnxruntime", "export")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(library, extra, monkeypatch, capsys):
    def wanting() -> None:
        raise ModuleNotFoundError(f"No module named '{library}'", name=library)

    monkeypatch.setattr(sys.modules["pipeline.cli.app"], "app", wanting)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"synthetic-iqa: this needs {library}: pip install 'synthetic-iqa[{extra}]'\n"
