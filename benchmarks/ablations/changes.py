"""The changes of the released recipe (released/params.yaml, the section training)."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.ablations.data import SOURCES

WARMUP = 1 / 28  # of the steps: the release's half of 14 epochs


@dataclass(frozen=True)
class Change:
    """One thing that differs from the release: keys of the section ``training``, or the images.

    ``drawn`` is a name of ``data.DRAWN``. ``times``: of the release's steps; 0 is the network before training.
    """

    what: str
    train: dict[str, object] = field(default_factory=dict)
    drawn: str = "release"
    sources: int = SOURCES
    composites: bool = False
    times: int = 1


CHANGES = {  # in the order in which they are run; all of a seed before the next
    "untrained": Change("no training: random weights, running statistics of images", times=0),
    "release": Change("the released recipe"),
    "steps_4": Change("4 times the steps (not equal time)", times=4),
    "width_48": Change("width 48", {"width": 48}),
    "width_64": Change("width 64", {"width": 64}),
    "crop_128": Change("crops of 128", {"crop": 128}),
    "depth_34": Change("ResNet-34", {"depth": 34}),
    "sources_32": Change("32 sources instead of 256", sources=32),
    "composites": Change("32 composites of each source as further classes", composites=True),
    "hard_discs": Change("the papers' sources: discs from radius 1, hard edges", drawn="discs"),
    "shaded": Change("sources with shading, depth blur and drawn palettes", drawn="shaded"),
    "no_neighbours": Change("neighbouring levels are no positives", {"neighbour_weight": 0.0}),
    "merged": Change("the four identical classes join the pristine one", {"merge_identical_classes": True}),
    "batch_128": Change("batches of 128", {"batch": 128}),
    "crop_64": Change("crops of 64", {"crop": 64}),
    "width_16": Change("width 16", {"width": 16}),
    "per_class_8": Change("groups of 8 images of a class", {"images_per_class": 8}),
    "steps_16": Change("16 times the steps (not equal time)", times=16),
}
