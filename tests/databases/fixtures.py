"""Folders in the official layouts with tiny pictures."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import artifacts, images

EQUAL = ((1, 1), (3, 1), (8, 1), (18, 3))


def picture(number: int, size: int = 16, width: int | None = None) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, width or size + 4, 3), dtype=np.uint8)


def save(path: Path, number: int, codec: str = "png", size: int = 16, width: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture(number, size, width)
    if codec in ("png", "qoi"):
        path.write_bytes(images.encode(pixels, codec))
        return
    import cv2

    path.write_bytes(cv2.imencode(f".{codec}", pixels[..., ::-1])[1].tobytes())


def kadid(folder: Path, references: int = 3, types: int = 2, levels: int = 5) -> Path:
    """As released: four classes equal their reference (of two types one)."""
    lines, number = ["dist_img,ref_img,dmos,var"], 0
    for r in range(1, references + 1):
        save(folder / "images" / f"I{r:02d}.png", first := number + 1)
        number = first
        for t in range(1, types + 1):
            for level in range(1, levels + 1):
                name, number = f"I{r:02d}_{t:02d}_{level:02d}.png", number + 1
                save(folder / "images" / name, first if (t, level) in EQUAL else number)
                lines.append(f"{name},I{r:02d}.png,{5 - 0.7 * level:.2f},0.5")
    (folder / "dmos.csv").write_text("\n".join(lines) + "\n")
    return folder


def biq(folder: Path, numbers: dict[str, list[int]]) -> Path:
    lines, seed = ["image,mos,official_split,subset"], 0
    for subset, values in numbers.items():
        for number in values:
            save(folder / "Images" / f"{subset} ({number}).jpg", seed := seed + 1, "jpg")
            part = "test" if number % 5 == 0 else "train"
            lines.append(f"{subset} ({number}).jpg,0.{number:04d},{part},{subset}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    return folder


def tid(folder: Path) -> Path:
    """As shipped: names in the score file, of the images and of the references differ in case."""
    lines = []
    for r in (1, 2):
        save(folder / "reference_images" / f"I{r:02d}.BMP", 100 + r, "bmp")
        for t in (1, 24):
            for level in (1, 5):
                save(folder / "distorted_images" / f"i{r:02d}_{t:02d}_{level}.bmp", 1000 * r + 10 * t + level, "bmp")
                lines.append(f"{6 - level:.5f} I{r:02d}_{t:02d}_{level}.bmp")
    (folder / "mos_with_names.txt").write_text("\n".join(lines) + "\n")
    return folder


def shard(folder: Path, sources: int = 2, types: int = 3, same_as_pristine: bool = False) -> pa.Table:
    """A tar of distorted versions and the rows that the sample table has for it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, members = [], {}
    for source in range(sources):
        for label in range(5 * types + 1):
            number = 1000 * source + (0 if same_as_pristine and label == 1 else label)
            members[f"{source:06d}-{label:03d}"] = images.encode(picture(number), "qoi")
            kind, level = (0, 0) if label == 0 else ((label - 1) // 5 + 1, (label - 1) % 5 + 1)
            rows.append({"label": label, "source": source, "type": kind, "level": level})
    with tarfile.open(folder / "distorted-00000.tar", "w") as tar:
        for key, data in members.items():
            info = tarfile.TarInfo(f"{key}.qoi")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with tarfile.open(folder / "distorted-00000.tar") as tar:
        for row, (key, data), member in zip(rows, members.items(), tar.getmembers(), strict=True):
            row |= {"key": key, "shard": "distorted-00000.tar", "offset": member.offset_data, "bytes": len(data)}
            row["sha256"] = artifacts.sha256_bytes(data)
    return pa.Table.from_pylist(rows)
