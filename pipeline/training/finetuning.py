"""One fine-tuning over the splits of a database: a network trained on each, and its answers to the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.databases.pixels import TableImages
from pipeline.devices import Device
from pipeline.encoder.network import channels_last
from pipeline.params import FinetuningParams
from pipeline.shards.decoded import Images, Mode
from pipeline.training.loop import Run, train
from pipeline.training.methods.finetune import FineTune, LinearProbe, Start
from pipeline.training.methods.regression import RegressionHead, load_head, load_network, over_views, predict


class Split(Protocol):
    """Rows of the three parts, as pipeline.evaluation.splits cuts them: int64, ascending."""

    @property
    def index(self) -> int:
        """Number of the split."""
        ...

    @property
    def train(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def val(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def test(self) -> NDArray[np.int64]: ...  # noqa: D102


@dataclass(frozen=True)
class FineTuning:
    """``mode`` lp, ft or lp_ft on top of the encoder in the folder ``encoder``, for the scored images of ``database``
    (rows of ``table``, whose files are below ``root``) with their ``targets`` (float32 in [1, 10]).

    ``run`` says where and how: its ``out`` gets the network of the split number ``first``, and those of the others in
    folders of their own. ``features`` float32 [n, dim], of whole images, is what lp is trained on.
    ``opinions`` are those that the encoder has seen before.
    """

    run: Run
    mode: str
    encoder: Path
    database: str
    table: pa.Table
    root: Path
    targets: NDArray[np.float32]
    params: FinetuningParams
    seed: int
    first: int
    features: NDArray[np.float32] | None = None
    opinions: Sequence[Mapping[str, Any]] = ()
    cache: Mode = "host"

    def answers(self, split: Split) -> dict[str, NDArray[np.float64]]:
        """Train on a split's training part; for each view of the test images float64 [len(split.test)], in 1..10."""
        if self.mode == "lp":
            assert self.features is not None, "lp is trained on a feature table"
            self._probe(split, self.features[:, None], self.out(split))
            with torch.inference_mode():
                said = load_head(self.out(split))(torch.from_numpy(self.features[split.test]))
            return {"whole": said.double().numpy()}
        self.tune(split)
        return self.answers_to(split, self._images(split.test))

    def answers_to(self, split: Split, images: Images) -> dict[str, NDArray[np.float64]]:
        """What a split's network, trained by :meth:`tune`, says of any images: view -> float64 [n], in 1..10."""
        network, title = load_network(self.out(split))[0], f"{self.run.name}, predictions of split {split.index}"
        asked = predict(network, images, self.params.views, self.params.crop, self._device, title)
        return {str(view): said for view, said in asked.items()}

    def out(self, split: Split) -> Path:
        """Where a split's network lies."""
        return self.run.out if split.index == self.first else self.run.out / f"split-{split.index}"

    def tune(self, split: Split) -> None:
        """FT on a split; in LP-FT, LP on features of fixed crops comes first."""
        start = Start(self.encoder)
        if self.mode == "lp_ft":
            start = Start(self.encoder, self.run.checkpoints / f"probe-{split.index}")
            self._probe(split, self._crop_features, self.run.checkpoints / f"probe-{split.index}")
        make = partial(
            FineTune,
            start=start,
            mode=self.mode,
            images=self._images(split.train),
            targets=self.targets[split.train],
            validation=(self._images(split.val), self.targets[split.val]),
            params=self.params,
            seed=self.seed,
            opinions=self._seen(split),
            cache=self.cache,
        )
        train(self._run(split, f"split-{split.index}", self.out(split)), make)

    def _probe(self, split: Split, features: NDArray[np.float32], out: Path) -> None:
        """LP on features float32 [n, views, dim] of all images."""
        keys = self.table["image_id"].take(pa.array(split.train)).to_pylist()
        make = partial(
            LinearProbe,
            start=Start(self.encoder),
            keys=keys,
            features=features[split.train],
            targets=self.targets[split.train],
            validation=(features[split.val], self.targets[split.val]),
            params=self.params,
            seed=self.seed,
            opinions=self._seen(split),
        )
        run = self._run(split, f"lp-{split.index}", out)
        train(replace(run, device=Device(run.device.kind, 1)), make)

    @cached_property
    def _crop_features(self) -> NDArray[np.float32]:
        """f(x) of five fixed crops of every image, float32 [n, 5, dim], by the frozen encoder."""
        network = channels_last(load_network(self.encoder, RegressionHead(1))[0].to(self._device)).eval()
        images, title = self._images(np.arange(len(self.table))), f"finetune {self.run.name}, crops for LP"
        return over_views(network.features, images, ["five_crops"], self.params.crop, self._device, title)["five_crops"]

    def _run(self, split: Split, part: str, out: Path) -> Run:
        own = {"begun_from": self.encoder.name, "labelled_on": [self.database], "split": split.index}
        provenance = {**self.run.provenance, **own}
        return replace(self.run, out=out, checkpoints=self.run.checkpoints / part, provenance=provenance)

    def _seen(self, split: Split) -> list[Mapping[str, Any]]:
        """What the network has seen: the encoder's own, and the opinions of the training and validation parts."""
        rows = np.sort(np.concatenate([split.train, split.val]))
        images = self.table["image_id"].take(pa.array(rows)).to_pylist()
        return [*self.opinions, {"database": self.database, "split": split.index, "images": images}]

    def _images(self, rows: NDArray[np.int64]) -> TableImages:
        return TableImages(self.table.take(pa.array(rows)), self.root)

    @property
    def _device(self) -> torch.device:
        return torch.device(self.run.device.kind)
