"""What a file is that is not what was expected, in words for people."""

from __future__ import annotations

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"qoif", "a QOI image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image or a camera's raw file"),
    (b"MM\x00*", "a TIFF image or a camera's raw file"),
    (b"II+\x00", "a TIFF image"),
    (b"MM\x00+", "a TIFF image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\xff\x01", "a JPEG XR image"),
    (b"8BPS", "a Photoshop document"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"DDS ", "a DDS texture"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"\x00\x05\x16\x07", "attributes that macOS keeps beside a file (AppleDouble)"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a zip archive (or an Office document, or a PyTorch checkpoint)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"(\xb5/\xfd", "a Zstandard archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.xls, .doc)"),
    (b"PAR1", "a Parquet table"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"MATLAB 7.3", "a MATLAB file of version 7.3 (HDF5)"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM film"),
    (b"ID3", "an MP3 sound file"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself (run `git lfs pull`)"),
)
_RIFF = {b"WEBP": "a WebP image", b"AVI ": "an AVI film", b"WAVE": "a WAV sound file"}
_BRANDS = {b"avif": "an AVIF image", b"avis": "an AVIF animation", b"crx ": "a camera's raw file"}
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_TEXTS = (
    (("<!doctype html", "<html", "<head", "<body"), "a web page (HTML)"),
    (("<svg",), "an SVG drawing"),
    (("<?xml",), "an XML document"),
    (("{", "["), "a JSON or text file"),
)


def file_kind(head: bytes) -> str:
    """What a file is by its first bytes (512 do): "a web page (HTML)"; "data of no known kind" if nothing fits."""
    if not head:
        return "an empty file"
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "a RIFF file")
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "an HEIC image" if head[8:12] in _HEIF else "an MP4 or QuickTime film")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if not any(head):
        return "only zero bytes"
    return _text(head)


def _text(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "a text file in UTF-16"
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not only a letter that is cut at the end
            return "data of no known kind"
        text = head[: error.start].decode("utf-8-sig")
    if any(letter < " " and letter not in "\t\n\r\f\x1b" for letter in text):
        return "data of no known kind"
    begin = text.lstrip().lower()
    return next((kind for starts, kind in _TEXTS if begin.startswith(starts)), "a text file")
