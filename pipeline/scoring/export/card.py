"""The model card of an export: README.md with the front matter that model hubs read."""

from __future__ import annotations

import json
import re

from pipeline.encoder import lineage, seen_sets
from pipeline.scoring.export.model import LICENCE, Exportable

_CARD = """---
license: {licence}
tags: [image-quality-assessment]
pipeline_tag: image-feature-extraction
---

# {name}

Image-quality features{and_score}, by an encoder that tells distortions apart. Written by `synthetic-iqa export`.

| | |
|---|---|
{facts}

## Use

The folder (`model.safetensors`, `config.json`, `modelling.py`, `synthetic_iqa/`) needs torch and safetensors:

```python
import sys

import torch

sys.path.insert(0, ".")  # this folder
from modelling import Model

model = Model()
images = torch.rand(1, 3, 384, 512)  # RGB in [0, 1], upright, sRGB, of any size
print(model.features(images).shape){score_line}
```

`model.onnx` needs onnxruntime. Colour spaces, scales and pooling are inside it:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
images = np.zeros((1, 384, 512, 3), np.uint8)  # RGB, upright, sRGB, of any size
outputs = session.run(None, {{"image": images}})
print(session.get_modelmeta().custom_metadata_map)  # what the numbers mean
```
{score}
## Limits

- Images are shown at their own size; nothing is cropped or resized. Sides below {smallest} pixels were not trained on.
- Memory grows with the image. The project itself computes large images in tiles; this export does not.
- Across databases a score is less reliable than on the one that its regressor was fitted on.
- Grey, palette, alpha and 16-bit files must be made 8-bit RGB in sRGB before.
{own}"""

_SCORE = """
## The score

A ridge regression on the opinions of {title}. **{meaning}.** It is not clipped to that range.{left_out}
Opinions: {citation}. The database's own licence holds for its images, none of which are here.
"""


def model_card(model: Exportable, compared: str) -> str:
    """The card in Markdown; ``compared`` says how near the export is to the project's own numbers."""
    regressor = model.regressor
    score = ""
    if regressor is not None:
        left_out = regressor.card["modes"].get("nr", {}).get("srocc_left_out")
        score = _SCORE.format(
            title=regressor.card.get("title", regressor.card["database"]),
            meaning=regressor.meaning[0].upper() + regressor.meaning[1:],
            left_out="" if left_out is None else f" SROCC on groups that were left out of a fit: {left_out:.3f}.",
            citation=regressor.card.get("citation", regressor.card["database"]),
        )
    return _CARD.format(
        licence=LICENCE,
        name=model.card["name"],
        and_score=" and a score" if regressor is not None else "",
        facts="\n".join(f"| {key} | {value} |" for key, value in _facts(model, compared).items()),
        score_line="" if regressor is None else "\nprint(model.scores(images))",
        score=score,
        smallest=model.smallest_side,
        own=_own_card(model),
    )


def _facts(model: Exportable, compared: str) -> dict[str, str]:
    provenance, pool = model.card.get("provenance", {}), model.pool
    read = f"{' and '.join(pool.statistics)} of layer {', '.join(map(str, pool.layers))}"
    images, steps = (provenance.get(key) for key in ("images", "steps"))
    seen = f"; {images:,} images, {steps:,} steps" if isinstance(images, int) and isinstance(steps, int) else ""
    imported = [str(made["imported_from"]) for made in lineage(model.card) if made.get("imported_from")]
    origin = ", ".join([*seen_sets(model.card, how=("trained_on", "authentic_set", "labelled_on")), *imported])
    return {
        "network": model.trunk.architecture,
        "preprocessing": json.dumps(model.config()["preprocessing"]),
        "feature": f"{model.extractor.dim} numbers: {read}, at {pool.scales} scales, in {', '.join(pool.spaces)}; "
        "each block has length 1",
        "trained on": f"{origin or 'nothing (random weights)'}{seen}",
        "fingerprint": f"`{model.extractor.sha256}`",
        "licence": LICENCE.upper(),
        "checked": f"{compared}, beside the project's own code",
    }


def _own_card(model: Exportable) -> str:
    """What the encoder's folder says of itself, without its title, comments and links into the project."""
    path = model.folder / "README.md"
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8").partition("\n")[2]
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    return "\n## The encoder, in its makers' words\n" + re.sub(r"^(#+)", r"#\1", text, flags=re.MULTILINE)
