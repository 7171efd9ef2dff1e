"""What the page shows, read from the tables, metrics and shards of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.artifacts import ArtifactError, read_json, read_table
from pipeline.databases import Manifest, load_manifest
from pipeline.distortions import Sample
from pipeline.evaluation.comparison.published import Published, published_figures
from pipeline.labels import CLASSES
from pipeline.params import Params
from pipeline.report import sheets
from pipeline.report.embedding import Embedding, embed
from pipeline.report.evaluations import MODES, Evaluation
from pipeline.report.gallery import gallery
from pipeline.report.sheets import Sheet
from pipeline.report.tables import readable
from pipeline.shards.reader import ShardSet

LIBRARIES = (
    "imagecodecs", "numba", "numpy", "opencv-contrib-python-headless", "pillow", "pyarrow", "scikit-image",
    "scikit-learn", "scipy", "synthetic-iqa", "torch",
)  # fmt: skip
SIDE = 216  # pixels of a thumbnail's longer side: sharp on a desktop page, some 7 kB
RANDOM = "random_init"  # the network with random weights


@dataclass(frozen=True)
class SetFacts:
    """A source set: counts, bytes on disk (shards), sizes of its images, and its contact sheet."""

    name: str
    sources: int
    source_bytes: int
    images: int
    image_bytes: int
    sizes: str
    sheet: Sheet


@dataclass(frozen=True)
class Encoder:
    """An encoder's card, and what training and the probe measured.

    ``steps``, ``loss`` and ``accuracy`` (the probe's type accuracy, NaN at steps where it was not run) are vectors of
    one length, or None if the encoder was not trained in this run. ``probe``: set -> accuracies; empty if not probed.
    """

    name: str
    card: Mapping[str, Any]
    steps: np.ndarray | None
    loss: np.ndarray | None
    accuracy: np.ndarray | None
    probe: Mapping[str, Mapping[str, float]]

    @property
    def is_baseline(self) -> bool:
        """Whether nothing was trained: random weights, hand-made features, or a metric."""
        return self.name == RANDOM or self.card["kind"] != "resnet"


@dataclass(frozen=True)
class Content:
    """All that the page is made from.

    ``classifiers``: run -> set -> confusions on held-out sources. ``similarities``: target -> its types
    (metrics/domains), ``selections``: run -> what was judged (metrics/greedy), ``networks``: run -> the same of a
    network (metrics/transfer).
    """

    params: Params
    versions: Mapping[str, str]
    sets: tuple[SetFacts, ...]
    distortions: Sheet
    encoders: tuple[Encoder, ...]
    databases: Mapping[str, Manifest]
    evaluations: tuple[Evaluation, ...]
    galleries: Mapping[str, Sheet]
    compared: Mapping[str, Any]
    regressors: tuple[Mapping[str, Any], ...]
    embeddings: tuple[Embedding, ...]
    published: tuple[Published, ...]
    statistics: Mapping[str, Mapping[str, Any]]
    statistics_figure: str
    classifiers: Mapping[str, Mapping[str, Any]]
    similarities: Mapping[str, Mapping[str, Any]]
    selections: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]

    @property
    def trained(self) -> list[str]:
        """The encoders that this run trained."""
        return [encoder.name for encoder in self.encoders if encoder.steps is not None]

    @property
    def has_natural(self) -> bool:
        """Whether the sets were compared with photographs of the user's."""
        return any("kl_natural_set" in measured for measured in self.statistics.values())


def collect(params: Params, data: Path, metrics: Path) -> Content:
    """Read the results of a run below ``data`` and ``metrics``; :class:`ArtifactError` names what is broken.

    Probe, evaluations, comparison, regressors and features may be missing, and the page says so; sources, distorted
    images and encoders must be there. Times, paths and workers are not read: equal results give an equal page.
    """
    encoders = tuple(_encoder(name, data, metrics) for name in params.encoders)
    evaluations = tuple(_evaluations(params, data, metrics))
    return Content(
        params=params,
        versions={name: version(name) for name in LIBRARIES},
        sets=tuple(_set(name, params, data) for name in params.sets),
        distortions=_distortions(params, data),
        encoders=encoders,
        databases={name: _manifest(name, params) for name in params.databases},
        evaluations=evaluations,
        galleries=dict(_galleries(params, data, encoders, evaluations)),
        compared=_read_optional(metrics / "compare.json"),
        regressors=tuple(_regressors(params, data)),
        embeddings=tuple(_embeddings(params, data, encoders)),
        published=tuple(published_figures()),
        statistics=read_json(metrics / "statistics.json"),
        statistics_figure=_figure(data / "statistics.svg"),
        classifiers={name: run["sets"] for name, run in _written(metrics / "classify", params.classify).items()},
        similarities=_written(metrics / "domains", params.domains),
        selections=_written(metrics / "greedy", params.greedy),
        networks=_written(metrics / "transfer", params.transfer),
    )


def curves(content: Content) -> dict[str, str]:
    """CSV for ``dvc plots`` by its path: the loss of each trained encoder at each step (``loss/NAME.csv``), and the
    type accuracy of the probe after the steps where it was run (``type_accuracy/NAME.csv``).
    """
    files = {}
    for encoder in content.encoders:
        for kind, values in (("loss", encoder.loss), ("type_accuracy", encoder.accuracy)):
            if encoder.steps is not None and values is not None:
                points = zip(encoder.steps, values, strict=True)
                rows = (f"{step},{value:.6g}\n" for step, value in points if not np.isnan(value))
                files[f"{kind}/{encoder.name}.csv"] = f"step,{kind}\n" + "".join(rows)
    return files


def _figure(path: Path) -> str:
    """An SVG file as text, from its first tag on."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: not a readable figure ({error})") from None
    return text[text.index("<svg") :] if "<svg" in text else ""


def _manifest(name: str, params: Params) -> Manifest:
    return load_manifest(name, params.database_folder(name))


def _set(name: str, params: Params, data: Path) -> SetFacts:
    sources, distorted = ShardSet(data / "sources" / name), ShardSet(data / "distorted" / name)
    chosen = range(min(len(sources), params.report.sheet_sources))
    pictures = ((str(sources.table["id"][i].as_py()), sources.image(i)) for i in chosen)
    sheet = sheets.plain_sheet(readable(name), pictures, side=SIDE)
    (low, high), counts = np.sort(sources.shapes.prod(axis=1))[[0, -1]], sources.shapes
    height, width = counts[np.argmax(counts.prod(axis=1))]
    sizes = f"{width} × {height}" if low == high else f"up to {width} × {height}"
    return SetFacts(
        name,
        len(sources),
        int(sources.manifest["bytes"]),
        len(distorted),
        int(distorted.manifest["bytes"]),
        sizes,
        sheet,
    )


def _distortions(params: Params, data: Path) -> Sheet:
    name = "photos" if "photos" in params.sets else next(iter(params.sets))
    distorted, sources = ShardSet(data / "distorted" / name), ShardSet(data / "sources" / name)
    source = min(params.report.sheet_source, len(sources) - 1)
    of_source = np.flatnonzero((distorted.sources == source) & (distorted.labels < CLASSES))
    rows = {int(distorted.labels[row]): int(row) for row in of_source}
    kinds, levels = distorted.table["type"].to_numpy(), distorted.table["level"].to_numpy()

    def samples() -> Iterator[Sample]:
        for label in sorted(rows):  # 0, the pristine image, first
            row = rows[label]
            yield Sample(label, int(kinds[row]), int(levels[row]), distorted.image(row))

    title = f"{sources.table['id'][source].as_py()} of {readable(name)}"
    return sheets.distortion_sheet(title, samples(), sheets.type_names(), side=SIDE)


def _encoder(name: str, data: Path, metrics: Path) -> Encoder:
    folder = data / "models" / name
    history = folder / "history.parquet"
    steps = loss = accuracy = None
    if history.is_file():
        table = read_table(history)
        steps, loss = (table[column].to_numpy() for column in ("step", "loss"))
        if "type_accuracy" in table.column_names:  # of methods that tell types apart
            accuracy = table["type_accuracy"].to_numpy()
    return Encoder(name, read_json(folder / "encoder.json"), steps, loss, accuracy, _probe(metrics, name))


def _probe(metrics: Path, encoder: str) -> dict[str, dict[str, float]]:
    path = metrics / "probe" / f"{encoder}.json"
    content = _read_optional(path)
    sets = content.get("sets", content)
    probed = {name: values for name, values in sets.items() if isinstance(values, dict) and "type_accuracy" in values}
    if sets and not probed:
        raise ArtifactError(f"{path}: no probe of any set (type_accuracy)")
    return probed


def _regressors(params: Params, data: Path) -> Iterator[dict[str, Any]]:
    """The cards of the stored regressors of the listed encoders and databases."""
    for encoder in params.encoders:
        for database in (*params.databases, *params.pooled):
            card = _read_optional(data / "regressors" / encoder / database / "regressor.json")
            if card:
                yield card


def _written(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """name -> its metrics, of those that there are."""
    return {name: metrics for name in names if (metrics := _read_optional(folder / f"{name}.json"))}


def _read_optional(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _embeddings(params: Params, data: Path, encoders: Sequence[Encoder]) -> Iterator[Embedding]:
    """Layouts of each database: of the first trained encoder that has features of it, and of those that learnt opinions
    (paper 3, Fig. 2 and 3).
    """
    trained = [encoder.name for encoder in encoders if not encoder.is_baseline]
    for database in params.databases:
        paths = {name: data / "features" / name / f"{database}.parquet" for name in trained}
        made = [name for name, path in paths.items() if path.is_file()]
        for name in dict.fromkeys([*made[:1], *(name for name in made if name in {*params.joint, *params.finetune})]):
            layout = embed(paths[name], images=params.report.embedding_images, seed=params.seed)
            if layout is not None:
                yield layout


def _evaluations(params: Params, data: Path, metrics: Path) -> Iterator[Evaluation]:
    for database in params.databases:
        for encoder in params.encoders:
            path = metrics / "evaluate" / encoder / f"{database}.json"
            if path.is_file():
                evaluation = Evaluation(encoder, database, read_json(path))
                yield replace(evaluation, predictions=_predictions(data, evaluation))


def _galleries(
    params: Params, data: Path, encoders: Sequence[Encoder], evaluations: Sequence[Evaluation]
) -> Iterator[tuple[str, Sheet]]:
    """database -> its best and worst predictions, by the first encoder that was trained."""
    trained = {encoder.name for encoder in encoders if not encoder.is_baseline}
    for database in params.databases:
        judged = [e for e in evaluations if e.database == database and e.encoder in trained and "nr" in e.modes]
        sheet = gallery(judged[0], data, params.database_folder(database)) if judged else None
        if sheet is not None:
            yield database, sheet


def _predictions(data: Path, evaluation: Evaluation) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    table = read_table(data / "predictions" / evaluation.encoder / f"{evaluation.database}.parquet")
    chosen = pc.and_(pc.equal(table["part"], "test"), pc.equal(table["regressor"], evaluation.regressor))
    table = table.filter(chosen)
    parts = {mode: table.filter(pc.equal(table["mode"], mode)) for mode in MODES}
    return {mode: (part["prediction"].to_numpy(), part["mos"].to_numpy()) for mode, part in parts.items() if len(part)}
