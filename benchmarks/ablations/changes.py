"""The recipe that is changed, the changes, and the sources they train on."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.params import TrainingParams

# The small profile's recipe as it was before this table: 8 epochs of 63 steps on 32 sources. Written out, because what
# wins becomes the profile's.
OLD = {
    "depth": 18,
    "width": 32,
    "projector_layers": 2,
    "projector_width": 256,
    "projection": 128,
    "crop": 64,
    "batch": 64,
    "learning_rate": 0.1,
    "temperature": 0.3,
    "precision": "auto",
    "class_balanced": True,
    "images_per_class": 4,
    "probe_every": 0,
}
STEPS = 504
WARMUP = 1 / 8  # of the steps: one epoch of eight
HELD_OUT = range(32, 48)  # the last 16 of the profile's 48 sources; no run trains on them


@dataclass(frozen=True)
class Family:
    """Sources drawn one way: the set's name, how many, and what differs from the small profile."""

    set_name: str
    count: int = 48
    sources: dict[str, object] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)  # keys of run.paths: folders below the data folder


FAMILIES = {
    "textured": Family("textured_dead_leaves", 112),
    "plain": Family("dead_leaves"),
    "polygons": Family("textured_dead_leaves", sources={"shape": "polygon", "alpha": 0.8, "supersample": 2}),
    "palettes": Family("textured_dead_leaves", sources={"palettes": "folder"}, paths={"palettes": "bsds500"}),
}

Rows = tuple[tuple[str, tuple[int, ...]], ...]  # (family, its sources)


def _first(family: str, count: int) -> Rows:
    return ((family, tuple(range(count))),)


TEXTURED = _first("textured", 32)


@dataclass(frozen=True)
class Change:
    """One thing that differs from the old recipe."""

    what: str
    train: dict[str, object] = field(default_factory=dict)
    rows: Rows = TEXTURED
    warmup: float = WARMUP
    trained: bool = True

    def params(self, *, steps: int, in_epoch: int) -> TrainingParams:
        """The whole section for that many steps. ``ValidationError`` for a key that the trainer does not know."""
        return TrainingParams(
            **{**OLD, **self.train, "epochs": steps / in_epoch, "warmup": round(self.warmup * steps) / in_epoch}
        )


CHANGES = {
    "untrained": Change("no training: random weights, batch norms calibrated", trained=False),
    "old": Change("the old default"),
    "rate_0.2": Change("learning rate 0.2", {"learning_rate": 0.2}),
    "tau_0.2": Change("tau 0.2", {"temperature": 0.2}),
    "tau_0.5": Change("tau 0.5", {"temperature": 0.5}),
    "batch_32": Change("batch 32", {"batch": 32}),
    "width_16": Change("width 16", {"width": 16}),
    "neighbours": Change("neighbouring levels are positives of weight 0.5", {"neighbour_weight": 0.5}),
    "ema": Change("moving average of the weights, 0.99", {"ema": 0.99}),
    "unbalanced": Change("plain batches (the paper's)", {"class_balanced": False}),
    "mixed": Change(
        "three families: 11 textured, 11 plain, 10 of polygons with antialiased edges and alpha 0.8",
        rows=(*_first("textured", 11), ("plain", tuple(range(11, 22))), ("polygons", tuple(range(22, 32)))),
    ),
    "crop_96": Change("crop 96", {"crop": 96}),
    "sources_80": Change("80 sources, fewer epochs", rows=(("textured", (*range(32), *range(48, 96))),)),
    "per_class_8": Change("groups of 8 images of a class", {"images_per_class": 8}),
    "colour_rgb": Change("RGB views only", {"colour_spaces": ("rgb",)}),
    "rate_0.05": Change("learning rate 0.05", {"learning_rate": 0.05}),
    "plain": Change("plain dead leaves", rows=_first("plain", 32)),
    "width_64": Change("width 64", {"width": 64}),
    "projector_1": Change("1 hidden layer in the projector", {"projector_layers": 1}),
    "batch_128": Change("batch 128", {"batch": 128}),
    "merged": Change("the four identical classes join the pristine one", {"merge_identical_classes": True}),
    "palettes": Change("colours of 300 photographs instead of 3", rows=_first("palettes", 32)),
    "per_class_2": Change("groups of 2 images of a class", {"images_per_class": 2}),
    "warmup_1/50": Change("warm-up over a fiftieth of the steps", warmup=1 / 50),
    "tau_0.1": Change("tau 0.1 (the paper's)", {"temperature": 0.1}),
    "crop_128": Change("crop 128", {"crop": 128}),
    "warmup_1/3": Change("warm-up over a third of the steps", warmup=1 / 3),
    "sources_16": Change("16 sources, more epochs", rows=_first("textured", 16)),
    "polygons": Change("polygons with antialiased edges and alpha 0.8", rows=_first("polygons", 32)),
}
