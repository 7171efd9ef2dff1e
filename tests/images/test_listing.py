"""The one lister: every ending, links, loops, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.images.listing import DECODED, REFUSED, is_image_name, list_images


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder of a/1.png, a/2.JPG, notes.txt, and a link b to another folder with 3.webp."""
    for name in ("top/a/1.png", "top/a/2.JPG", "top/notes.txt", "elsewhere/3.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "top/b").symlink_to("../elsewhere")
    return tmp_path / "top"


def names(top: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(top).as_posix() for path in paths]


def test_links_to_files_and_folders_are_followed(top: Path) -> None:
    (top / "c.png").symlink_to("a/1.png")
    listing = list_images([top])
    assert names(top, listing.files) == ["a/1.png", "a/2.JPG", "b/3.webp", "c.png"]
    assert not listing.failed and listing.others == 1
    assert listing.passed_over() == "; 1 other files left alone"


def test_a_link_back_is_noticed_and_one_folder_may_have_two_names(top: Path) -> None:
    (top / "a/back").symlink_to("..")
    (top / "again").symlink_to("a")
    listing = list_images([top])
    assert names(top, listing.files) == ["a/1.png", "a/2.JPG", "again/1.png", "again/2.JPG", "b/3.webp"]
    assert names(top, listing.loops) == ["a/back", "again/back"]
    assert "2 links back to a folder above them" in listing.passed_over()


@pytest.mark.parametrize("ending", [*DECODED, *REFUSED])
def test_every_ending_counts_in_any_case(tmp_path: Path, ending: str) -> None:
    for name in (f"a{ending}", f"b{ending.upper()}"):
        (tmp_path / name).touch()
    assert len(list_images([tmp_path]).files) == 2


def test_what_cannot_be_read_is_named(top: Path) -> None:
    (top / "gone.png").symlink_to("nowhere")
    (top / "ring.png").symlink_to("ring.png")
    os.mkfifo(top / "pipe.png")
    (top / "folder.png").mkdir()
    os.mkfifo(top / "pipe")  # without an image's ending
    listing = list_images([top, top / "absent.png"])
    assert {path.name: problem for path, problem in listing.failed.items()} == {
        "gone.png": "a link that leads nowhere (no such file)",
        "ring.png": "too many levels of symbolic links",
        "pipe.png": "not a regular file",
        "folder.png": "a folder, not an image",
        "absent.png": "no such file or folder",
    }
    assert listing.others == 2 and len(listing.files) == 3


def test_a_folder_that_cannot_be_listed_is_named(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def closed(folder: Path) -> object:
        if Path(folder).name == "a":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", closed)
    listing = list_images([top])
    assert listing.failed == {top / "a": "folder can't be listed (permission denied)"}
    assert names(top, listing.files) == ["b/3.webp"]


def test_files_that_are_named_are_taken_whatever_their_ending(top: Path) -> None:
    assert list_images([top / "notes.txt", top / "notes.txt"]).files == [top / "notes.txt"]


def test_attribute_files_of_macos_are_no_images(top: Path) -> None:
    (top / "a/._1.png").write_bytes(b"\x00\x05\x16\x07")
    assert len(list_images([top]).files) == 3 and not is_image_name("a/._1.png")
