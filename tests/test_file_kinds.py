"""What a file is, in words for people."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipeline import images
from pipeline.file_kinds import file_kind


def made(write: object) -> bytes:
    sink = io.BytesIO()
    write(sink)  # type: ignore[operator]
    return sink.getvalue()


PICTURE = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
KINDS = {
    "an empty file": b"",
    "only zero bytes": bytes(600),
    "a Python pickle": pickle.dumps({1: 2}),
    "a web page (HTML)": b"\n <!DOCTYPE html><html>quota exceeded</html>",
    "an SVG drawing": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "an XML document": b"\xef\xbb\xbf<?xml version='1.0'?>",
    "a JSON or text file": b'{"message": "Not Found"}',
    "a text file": "na\u00efve, 1\n".encode(),
    "a text file in UTF-16": "a,1".encode("utf-16"),
    "data of no known kind": bytes(range(128, 256)) * 4,
    "a zip archive (or an Office document, or a PyTorch checkpoint)": made(
        lambda sink: zipfile.ZipFile(sink, "w").writestr("a", "b")
    ),
    "a tar archive": made(lambda sink: tarfile.open(fileobj=sink, mode="w").addfile(tarfile.TarInfo("a"))),
    "a GIF image": made(lambda sink: PICTURE.save(sink, "GIF")),
    "a TIFF image or a camera's raw file": made(lambda sink: PICTURE.save(sink, "TIFF")),
    "an AVIF image": made(lambda sink: PICTURE.save(sink, "AVIF")),
    "a JPEG 2000 image": made(lambda sink: PICTURE.save(sink, "JPEG2000")),
    "a WebP image": made(lambda sink: PICTURE.save(sink, "WEBP")),
    "an HEIC image": b"\0\0\0\x18ftypheic\0\0\0\0",
    "an MP4 or QuickTime film": b"\0\0\0\x18ftypisom\0\0\0\0",
    "a NumPy array": made(lambda sink: np.save(sink, np.zeros(3))),
    "a PDF document": b"%PDF-1.7",
    "a pointer of Git LFS, not the file itself (run `git lfs pull`)": b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_named_by_its_first_bytes(kind: str) -> None:
    assert file_kind(KINDS[kind][:512]) == kind


def test_a_letter_that_is_cut_at_the_end_is_text_still() -> None:
    assert file_kind(("a" * 511 + "\u00e9").encode()[:512]) == "a text file"


@pytest.mark.parametrize("kind", ["a web page (HTML)", "a Python pickle", "a GIF image"])
def test_the_door_says_what_a_file_is(kind: str) -> None:
    with pytest.raises(images.ImageError, match="^a.png: a .*, not a PNG, JPEG, WebP, ") as error:
        images.decode(KINDS[kind], name="a.png")
    assert kind in str(error.value) and error.value.reason == "format"
