"""The dataset card of a distorted set: README.md with the front matter that dataset hubs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import ArtifactError, read_manifest
from pipeline.distortions import TYPES
from pipeline.labels import CLASSES, COMPOSITE
from pipeline.shards import tables
from pipeline.shards.reader import ShardSet
from pipeline.sources import palettes
from pipeline.sources.textures import atlas

_CARD = """\
---
license: {licence}
tags: [image-quality-assessment, distortions, webdataset]
task_categories: [image-classification]
size_categories: [{category}]
configs:
- config_name: default
  data_files: "*.tar"
---

# {name}

{samples:,} images: {sources} {kind}, each as it is and in 25 types of distortion at 5 levels{also}. An image is
lossless {codec}, RGB, sRGB, {sizes}. The types and levels are KADID-10k's, in its order. {pristine}

| file | what it is |
|---|---|
| `distorted-*.tar` | WebDataset shards: `KEY.cls` (the label), `KEY.json` (the recipe), `KEY.{codec}` (the image) |
| `distorted-*.parquet` | one row a sample: the columns below |
| `manifest.json` | every shard with its bytes, samples and sha256 |

The label is 0 for the pristine image and 5 (type - 1) + level for the others{of_composites}.

| types |
|---|
{types}
{composites}
## Columns

| column | type | what it is |
|---|---|---|
{columns}

## Load it

With webdataset (`pip install webdataset pillow`):

```python
import io
from glob import glob

import numpy as np
import webdataset
from PIL import Image

decode = webdataset.handle_extension("{codec}", lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
for sample in webdataset.WebDataset(sorted(glob("*.tar")), shardshuffle=False).decode(decode):
    image, label, recipe = sample["{codec}"], sample["cls"], sample["json"]
```

With Hugging Face datasets (`pip install datasets`):

```python
from glob import glob

import datasets

rows = datasets.load_dataset("webdataset", data_files={{"train": sorted(glob("*.tar"))}}, split="train", streaming=True)
row = next(iter(rows))
label, recipe = int(row["cls"]), row["json"]
```

With Python and Pillow alone:

```python
import io
import tarfile
from glob import glob

from PIL import Image

for path in sorted(glob("*.tar")):
    with tarfile.open(path) as shard:
        for member in shard:
            if member.name.endswith(".{codec}"):
                image = Image.open(io.BytesIO(shard.extractfile(member).read())).convert("RGB")
```

## Where the images come from

{origin}

Made by synthetic-iqa with seed {seed}; the same seed, parameters and library versions give the same bytes
({libraries}).

## Hashes

`sha256sum manifest.json` is `{fingerprint}`.

| shard | samples | bytes | sha256 |
|---|---|---|---|
{shards}
"""

_COMPOSITES = """
## Composites

A composite is distorted by two to five types in turn. Its type is {composite} and its level is the number of types.

| label | types and levels, in their order |
|---|---|
{rows}
"""

_PACKAGED = """\
Photographs of Python packages: astronaut (NASA, public domain), chelsea, coffee and rocket (CC0), and motorcycle
(Middlebury 2014 stereo benchmark; scikit-image names no licence, so ask before you publish it)."""
_DRAWN = "Drawn: no camera took them."
_COLOURS = {
    "drawn": "Their colours are drawn too.",
    "embedded": "Their colours come from three photographs: china and flower (scikit-learn, CC BY 2.0, by "
    "danielbuechele and vultilion) and grace_hopper (matplotlib, public domain).",
    "folder": "Their colours come from photographs of a folder, whose licence this card does not know.",
}
_TEXTURES = {
    "none": "",
    "embedded": "Their textures are scikit-image's brick, grass and gravel (CC0) and procedural ones.",
    "folder": "Their textures are those of a folder, whose licence this card does not know.",
}
_FOLDER = """\
Images of a folder of the maker's. This card does not know their licence: it is the makers of those images who give
it. The recipe of each sample's source has the file's name and sha256."""


def dataset_card(folder: Path) -> str:
    """The card of the distorted set in ``folder``, in Markdown; :class:`ArtifactError` if it is no whole one."""
    manifest, _ = read_manifest(folder)
    if "sources" not in manifest:
        raise ArtifactError(f"{folder}: not a distorted set; a card is of one, such as data/distorted/NAME")
    shards, recipe, composites = ShardSet(folder), manifest["sources"]["recipe"], manifest.get("composites", ())
    sizes = np.unique(shards.shapes, axis=0)
    licence, kind, where = origin(recipe)
    names = {type.id: type.name for type in TYPES}
    rows = [", ".join(f"{i} {names[i]}" for i in range(first, first + 5)) for first in range(1, 26, 5)]
    return _CARD.format(
        licence=licence,
        category=_category(len(shards)),
        name=manifest["set"],
        samples=len(shards),
        sources=len(np.unique(shards.sources)),
        kind=kind,
        also=f", and in {len(composites)} composites of these" if composites else "",
        of_composites=f", from {CLASSES} on a composite" if composites else "",
        composites=_composites(composites, names),
        codec=shards.codec,
        sizes=f"{sizes[0][1]} x {sizes[0][0]}" if len(sizes) == 1 else f"of {len(sizes)} sizes",
        pristine="The pristine image is the source after KADIS's global stretch."
        if manifest.get("pristine") == "stretched"
        else "",
        types="\n".join(f"| {row} |" for row in rows),
        columns="\n".join(
            f"| {f.name} | {f.type} | {f.metadata[b'description'].decode()} |" for f in tables.distorted()
        ),
        origin=where,
        seed=manifest["seed"],
        libraries=", ".join(f"{name} {version}" for name, version in sorted(manifest["libraries"].items())),
        fingerprint=shards.fingerprint,
        shards="\n".join(f"| {s.name} | {s.samples} | {s.bytes} | `{s.sha256}` |" for s in shards.shards),
    )


def _composites(recipes: Sequence[Sequence[tuple[int, int]]], names: Mapping[int, str]) -> str:
    """The section of the composites; nothing where there are none."""
    steps = [", ".join(f"{names[kind]} {level}" for kind, level in recipe) for recipe in recipes]
    rows = "\n".join(f"| {label} | {text} |" for label, text in enumerate(steps, CLASSES))
    return _COMPOSITES.format(composite=COMPOSITE, rows=rows) if steps else ""


def origin(recipe: Mapping[str, Any]) -> tuple[str, str, str]:
    """The licence in the hubs' words, what the sources are, and where they come from."""
    if recipe["kind"] == "photographs":
        return "other", "photographs", _PACKAGED
    if recipe["kind"] not in ("dead_leaves", "textured_dead_leaves"):
        return "unknown", "images of a folder", _FOLDER
    colours, textures = _colours(recipe["palettes"]), _textures(recipe["textures"])
    licence = "unknown" if "folder" in (colours, textures) else "cc-by-2.0" if colours == "embedded" else "mit"
    sentences = (_DRAWN, _COLOURS[colours], _TEXTURES[textures])
    return licence, "drawn images", " ".join(sentence for sentence in sentences if sentence)


def _colours(recorded: str | list[list[str]]) -> str:
    """``drawn``, ``embedded`` or ``folder``, by what a recipe records of the palettes."""
    if isinstance(recorded, str):
        return recorded
    known = {photograph.sha256 for photograph in palettes.embedded()}
    return "embedded" if {sha256 for _, sha256 in recorded} <= known else "folder"


def _textures(recorded: str | None) -> str:
    """``none``, ``embedded`` or ``folder``, by the sha256 of the atlas."""
    return "none" if recorded is None else "embedded" if recorded == atlas.embedded().sha256 else "folder"


def _category(samples: int) -> str:
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in limits if samples < limit), "1M<n<10M")
