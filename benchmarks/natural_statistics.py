"""How much each set resembles photographs: the table of docs/sources.md, remade.

    python -m benchmarks.natural_statistics --photographs BSDS500 --textures BRODATZ [--images 100] [--json]

Every third photograph, in order of name, is the natural reference; the next ones give the colours, the last ones are
compared with the reference as the figure's floor, so the three never share an image. Sets are drawn at 512 x 512, r in
[1, 512], seed 0. The two folders default to ``bsds500`` and ``brodatz`` in the folder that IQA_DATA names; without
photographs nothing is measured, and the script says so.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pipeline import images, sources
from pipeline.engine import progress
from pipeline.params.sections import PathsParams, SourcesParams
from pipeline.sources import image_files, statistics

SIDE = 512
THREE = {"disc": 1.0, "ellipse": 1.0, "polygon": 1.0}
ALL = {"supersample": 2, "r_min": 4.0, "shape": THREE, "shading": 0.5, "depth_blur": 2.0, "palettes": "drawn"}
NEAREST = {"supersample": 2, "r_min": 2.0, "shape": THREE, "shading": 0.3}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"set_name": "dead_leaves"},
    "textured, given textures": {"set_name": "textured_dead_leaves", "textures": "folder"},
    "textured, embedded": {"set_name": "textured_dead_leaves"},
    "plain, supersample 2": {"set_name": "dead_leaves", "supersample": 2},
    "textured, embedded, supersample 2": {"set_name": "textured_dead_leaves", "supersample": 2},
    "larger leaves": {"set_name": "textured_dead_leaves", "supersample": 2, "r_min": 4.0},
    "three shapes": {"set_name": "textured_dead_leaves", "shape": THREE},
    "shading 0.5": {"set_name": "textured_dead_leaves", "shading": 0.5},
    "depth blur 2": {"set_name": "textured_dead_leaves", "depth_blur": 2.0},
    "drawn palettes": {"set_name": "textured_dead_leaves", "palettes": "drawn"},
    "three shapes, r_min 2, supersample 2, shading 0.3": {"set_name": "textured_dead_leaves", **NEAREST},
    "all five": {"set_name": "textured_dead_leaves", **ALL},
    "all five, plain": {"set_name": "dead_leaves", **ALL},
}


def table(photographs: Path, textures: Path | None, number: int, names: list[str]) -> dict[str, dict[str, Any]]:
    """Figures of each variant of ``names`` over ``number`` images, beside photographs; one of them photographs too."""
    files = image_files.image_files(photographs)
    natural, colours, others = (files[start::3][:number] for start in range(3))
    measured = {"photographs, others": statistics.measure(images.read(path) for path in others)}
    with tempfile.TemporaryDirectory() as folder:
        for path in colours:
            (Path(folder) / path.name).symlink_to(path.resolve())
        for name in names:
            variant = dict(VARIANTS[name])
            set_name = variant.pop("set_name")
            params = SourcesParams(**{"count": number, "size": SIDE, "palettes": "folder", **variant})
            paths = PathsParams(palettes=folder, textures=None if textures is None else str(textures))
            drawn = sources.source_set(set_name, params, seed=0, paths=paths)
            pictures = (drawn.make(index)[0] for index in range(number))
            measured[name] = statistics.measure(progress(pictures, total=number, describe=name))
    return statistics.compare(measured, statistics.measure(images.read(path) for path in natural))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ["IQA_DATA"]) if "IQA_DATA" in os.environ else None
    arguments.add_argument("--photographs", type=Path, default=data and data / "bsds500")
    arguments.add_argument("--textures", type=Path, default=data and data / "brodatz")
    arguments.add_argument("--images", type=int, default=100)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    if given.photographs is None:
        print("not measured: --photographs names a folder of at least 30 photographs, and none was given")
        return
    names = [name for name, variant in VARIANTS.items() if given.textures is not None or "textures" not in variant]
    figures = table(given.photographs, given.textures, given.images, names)
    print(f"{'':50}KL(nat, set)  KL(set, nat)  P(d=0)  kurtosis  slope  std at 1, 2, 4, 8")
    for name, row in figures.items():
        scales = " ".join(f"{value:.2f}" for value in row["scale_ratio"])
        print(
            f"{name:50}{row['kl_natural_set']:12.3f}{row['kl_set_natural']:14.3f}{row['p_zero']:8.3f}"
            f"{row['kurtosis']:10.1f}{row['slope']:7.2f}  {scales}"
        )
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
