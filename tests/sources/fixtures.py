"""Drawn folders of images: one of each thing that a user's folder may hold, and Danbooru's layout in miniature."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from pipeline import images
from pipeline.sources import palettes
from pipeline.sources.dead_leaves.leaves_set import DeadLeavesSet, LeavesSettings

SET = "textured_dead_leaves"


def leaves(
    name: str = SET, *, seed: int = 3, count: int = 4, size: tuple[int, int] = (96, 128), **settings: Any
) -> DeadLeavesSet:
    """A small drawn set, with embedded colours and textures; ``settings`` are what differs from the paper's."""
    paper = {"r_min": 1.0, "r_max": float(max(size)), "exponent": 3.0, "alpha": 0.5, "supersample": 1}
    given = LeavesSettings(*size, **{**paper, **settings})
    return DeadLeavesSet(count, seed, given, palettes.embedded(), "embedded" if name == SET else None)


def picture(key: int, height: int = 300, width: int = 320) -> np.ndarray:
    """A smooth coloured scene, another one for each key."""
    draws = np.random.default_rng(key)
    small = draws.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(image: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).convert(mode).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def refused() -> dict[str, tuple[str, bytes]]:
    """File name: (reason, content), one for each reason that an image itself can give."""
    good = picture(1)
    clear = Image.fromarray(np.dstack([good, np.zeros(good.shape[:2], np.uint8)]))
    frames = [Image.fromarray(picture(key)) for key in (2, 3)]
    animation = io.BytesIO()
    frames[0].save(animation, "WEBP", save_all=True, append_images=frames[1:])
    gif = io.BytesIO()
    frames[0].save(gif, "GIF")
    space = _wide_profile()
    space[16] = 0xE2  # of the colour space, which Pillow decodes as ASCII
    return {
        "truncated.jpg": ("broken", jpeg(good)[:-4000]),
        "empty.png": ("broken", b""),
        "film.png": ("format", b"RIFF....AVI "),
        "still.gif": ("format", gif.getvalue()),
        "odd_space.png": ("profile", png(Image.fromarray(good), icc_profile=bytes(space))),
        "moving.webp": ("animated", animation.getvalue()),
        "print.jpg": ("colour mode", jpeg(good, "CMYK")),
        "huge.png": ("too large", images.encode(np.zeros((1024, 2048, 3), np.uint8), "png")),
        "ghost.png": ("transparent", png(clear)),
        "odd_profile.png": ("profile", png(Image.fromarray(good), icc_profile=b"no profile at all" * 20)),
        "white.png": ("blank", images.encode(np.full((300, 300, 3), 250, np.uint8), "png")),
        "tiny.png": ("small", images.encode(picture(4, 200, 400), "png")),
        "strip.png": ("small", images.encode(picture(5, 300, 1200), "png")),
    }


def wide_gamut(image: np.ndarray) -> bytes:
    """A PNG with a profile that is not sRGB."""
    return png(Image.fromarray(image), icc_profile=bytes(_wide_profile()))


def _wide_profile() -> bytearray:
    """sRGB's under another name, red and blue primaries exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    for name in (b"s\x00R\x00G\x00B", b"sRGB"):
        while name in profile:
            at = profile.index(name)
            profile[at : at + len(name)] = name.replace(b"s", b"x").replace(b"R", b"y")
    return profile


def danbooru(root: Path, ids: range, *, schema: str = "2021") -> Path:
    """``512px/BBBB/ID.jpg`` and ``metadata/posts.json`` under ``root``; every fifth post is explicit."""
    lines = []
    for key in ids:
        folder = root / "512px" / f"{key % 1000:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.jpg").write_bytes(jpeg(picture(key, 280, 300)))
        lines.append(json.dumps(post(key, schema)))
    (root / "metadata").mkdir(exist_ok=True)
    (root / "metadata" / "posts.json").write_text("\n".join(lines) + "\n")
    return root


def post(key: int, schema: str) -> dict[str, object]:
    """One line of metadata; key % 5: 0 explicit, 1 with the tag photo if also key % 10 == 1."""
    rating, tag = ("e" if key % 5 == 0 else "s"), ("photo" if key % 10 == 1 else "1girl")
    if schema == "2021":
        return {"id": key, "rating": rating, "tag_string": f"solo {tag}", "is_deleted": key == 7, "is_banned": key == 8}
    tags = [{"id": "470575", "name": "solo", "category": "0"}, {"id": "1", "name": tag, "category": "0"}]
    deleted, banned = str(key == 7).lower(), str(key == 8).lower()
    return {"id": str(key), "tags": tags, "rating": rating, "is_deleted": deleted, "is_banned": banned}


def tarred(root: Path, target: Path) -> Path:
    """All files under ``root`` in one plain tar."""
    with tarfile.open(target, "w") as archive:
        for path in sorted(root.rglob("*.jpg"), reverse=True):
            archive.add(path, path.relative_to(root).as_posix())
    return target
