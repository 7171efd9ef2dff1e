"""A small run on disk, in the stages' own formats: what the report is made from, without training anything."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import artifacts, images
from pipeline.databases.table import DATABASE
from pipeline.domains import Similarity
from pipeline.evaluation import Part, metrics_of, predictions_table
from pipeline.features import feature_table
from pipeline.params import Params
from pipeline.params.sections import DistortParams
from pipeline.report.sheets import TypeName
from pipeline.scoring import Linear, save_regressor
from pipeline.shards.distorted_shards import DistortJob, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import SourceJob, build_sources, commit_sources
from pipeline.sources import statistics, statistics_figure
from pipeline.training.confusion import confusion

TYPES = {number: TypeName(f"type_{number}", "group", "parameter", tuple("12345")) for number in range(1, 26)}
PARAMS: dict[str, Any] = {
    "seed": 1,
    "sets": {"dead_leaves": {}, "photos": {}},
    "databases": {"photos": {"folder": "data/distorted/photos"}, "kadid10k": {"folder": "kadid10k"}},
    "train": {"dead_leaves": {"set": "dead_leaves"}},
    "classify": {"types": {"set": "dead_leaves", "encoder": "random_init"}},
    "domains": {"mine": {"classifier": "types", "folder": "mine"}},
    "greedy": {"path": {"encoder": "dead_leaves", "source": "photos", "target": "kadid10k", "domains": "mine"}},
    "transfer": {"network": {"encoder": "dead_leaves", "source": "photos", "target": "kadid10k", "domains": "mine"}},
    "encoders": ["dead_leaves", "random_init", "floor"],
    **{key: {} for key in ("readouts", "niqe", "statistics", "distort", "training", "ingest", "features", "evaluate")},
    "run": {},
    "sources": {"count": 3},
    "probe": {"sources": 2, "folds": 2},
    "report": {"title": "a <made> run", "sheet_source": 1},
}


LINEAR = Linear(np.zeros(3), np.zeros(3), np.ones(3), 3.0)
REGRESSOR: dict[str, Any] = {
    "encoder": "dead_leaves", "weights_sha256": "ab" * 32, "database": "photos", "dim": 3, "higher_is_better": True,
    "range": [1.0, 5.0], "images": 60, "modes": {"nr": {"lambda": 0.1}},
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """One distorted image as a bank gives it."""

    label: int
    type: int
    level: int
    image: np.ndarray
    record: dict[str, Any]


@dataclass(frozen=True)
class Noise:
    """Sources of smooth noise, 40 x 56."""

    count: int = 3

    def make(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        grey = np.random.default_rng(index).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        return np.kron(grey, np.ones((8, 8, 1), np.uint8)), {"name": f"source <{index}>"}

    def inputs(self, indices: range | None = None) -> dict[str, Any]:
        return {"kind": "noise"}


def bank(image: np.ndarray, generator: np.random.Generator) -> Iterator[Made]:
    """The pristine image, and noise that grows with type and level (type 1 level 1 is the pristine image)."""
    for label in range(126):
        kind, level = ((label - 1) // 5 + 1, (label - 1) % 5 + 1) if label else (0, 0)
        spread = 0 if label < 2 else kind + level
        noise = generator.normal(0, 1, image.shape) * spread
        yield Made(label, kind, level, np.clip(image + noise, 0, 255).astype(np.uint8), {})


def sources(data: Path, name: str, maker: Any = None) -> ShardSet:
    """data/sources/{name}, two sources a shard."""
    job = SourceJob(name, maker or Noise(), data / "sources" / name, "qoi")
    commit_sources(job, [build_sources(task) for task in job.tasks(2)])
    return ShardSet(job.folder)


def shards(data: Path, name: str, maker: Any = None, made: Any = bank) -> None:
    """data/sources/{name} and data/distorted/{name}."""
    drawn, params = sources(data, name, maker), DistortParams(block=2)
    job = DistortJob(name, 1, params, made, {}, drawn.folder, drawn.fingerprint, data / "distorted" / name)
    commit_distorted(job, [build_distorted(task) for task in job.tasks(drawn)], drawn)


def encoder(data: Path, metrics: Path, name: str, sets: list[str], skill: float, *, steps: int = 0) -> None:
    """An encoder's card, history (if ``steps``) and probe."""
    card = {"kind": "resnet", "architecture": "resnet18", "width": 32, "dim": 512, "sha256": name.encode().hex()}
    artifacts.write_json(
        data / "models" / name / "encoder.json", card if name != "floor" else {"kind": "floor", "dim": 19}
    )
    if steps:
        loss = 6.3 * np.exp(-np.arange(steps) / steps)
        accuracy = [step / 1000 if (step + 1) % 100 == 0 else None for step in range(steps)]
        artifacts.write_table(
            data / "models" / name / "history.parquet",
            pa.table(
                {
                    "step": np.arange(steps),
                    "loss": loss,
                    "crops_per_s": np.random.default_rng().random(steps),
                    "type_accuracy": pa.array(accuracy, pa.float64()),
                }
            ),
        )
    found = {
        "type_accuracy": skill, "class_accuracy": skill / 3, "type_chance": 0.04, "class_chance": 1 / 126,
        "images": 252, "sources": 2,
    }  # fmt: skip
    artifacts.write_json(metrics / "probe" / f"{name}.json", {"encoder": name, "sets": {one: found for one in sets}})


def evaluation(data: Path, metrics: Path, name: str, database: str, noise: float, *, splits: int = 5) -> None:
    """An encoder's predictions and metrics on a database, NR and FR, as evaluate writes them."""
    draw = np.random.default_rng(len(name))
    mos, nothing = draw.uniform(1, 5, 125 * splits), [None] * (125 * splits)
    images = pa.table(
        {"image_id": [f"{i // 125}-{i % 125}" for i in range(len(mos))], "mos": mos}
        | {"group": [str(i // 125) for i in range(len(mos))], "stratum": nothing, "type": nothing, "level": nothing}
    )
    parts = []
    for mode in ("nr", "fr"):
        for split in range(splits):
            rows = np.arange(125 * split, 125 * (split + 1))
            error = draw.normal(0, noise * (2 if mode == "nr" else 1), 125)
            parts.append(Part(mode, "ridge", split, "test", rows, 3 + 0.8 * (mos[rows] - 3) + error, 1.0))
    table = predictions_table(images, parts, encoder=name, database=database)
    found: dict[str, Any] = metrics_of(table, {"protocol": "leave_one_group_out", "dim": 512})
    if name == "floor":
        found["nr"]["svr"] = {"srocc": 0.456, "plcc": 0.467}
    row = {"images": 5, "rmse": 0.1, "bias": 0.0}
    cells = [{"type": 7, "level": None, "srocc": 0.654, **row}, {"type": None, "level": 2, "srocc": None, **row}]
    found["fr"]["ridge"]["types"] = cells
    artifacts.write_json(metrics / "evaluate" / name / f"{database}.json", found)
    artifacts.write_table(data / "predictions" / name / f"{database}.parquet", table)


def database(folder: Path, name: str, root: Path) -> None:
    """The table and the files of the database that :func:`evaluation` predicts: 125 images of each of 5 groups."""
    rows = []
    for group in range(5):
        for number in range(125):
            image = np.full((24, 40, 3), 25 * group + number, np.uint8)
            path = root / f"{group}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data := images.encode(image, "png"))
            about = {"image_id": path.stem, "path": path.name, "sha256": artifacts.sha256_bytes(data), "phash": 0}
            size = {"width": 40, "height": 24, "orientation": 1, "group": str(group)}
            rows.append({**about, **size, "is_reference": False, "mos": 3.0, "higher_is_better": True})
    table = pa.Table.from_pylist(rows, schema=DATABASE)
    artifacts.write_table(folder / "databases" / f"{name}.parquet", table)


def run(folder: Path) -> Params:
    """The whole small run below ``folder`` (data/ and metrics/); returns its parameters."""
    params = Params.model_validate(PARAMS)
    data, metrics = folder / "data", folder / "metrics"
    for name in params.sets:
        shards(data, name)
    for name, skill, noise in (("dead_leaves", 0.6, 0.4), ("random_init", 0.3, 0.9), ("floor", 0.2, 1.1)):
        encoder(data, metrics, name, ["dead_leaves"], skill, steps=300 if name in params.train else 0)
        evaluation(data, metrics, name, "photos", noise)
        features(data, name, "photos")
    comparison(metrics, ["dead_leaves", "random_init", "floor"])
    save_regressor(data / "regressors" / "dead_leaves" / "photos", {"nr": LINEAR}, REGRESSOR)
    likeness(data, metrics, list(params.sets))
    types(metrics, "mine", "path")
    network(metrics, "network", "kadid10k", "mean_prob", [3, 9], 0.45, encoder="dead_leaves")
    return params


def types(metrics: Path, target: str, run: str, database: str = "mine", *, encoder: str = "dead_leaves") -> None:
    """What classify, domains and greedy write: a classifier that calls half of type 1 type 2; a target that is most
    like type 3, by one rule, and type 9, by both; and ridges that gain 0.1 by the one and 0.2 by the other rule.
    """
    labels = np.tile(np.arange(1, 126), 4)
    named = (labels - 1) // 5 + 1
    named[: len(named) // 2][named[: len(named) // 2] == 1] = 2
    artifacts.write_json(metrics / "classify/types.json", {"sets": {"dead_leaves": confusion(labels, named)}})
    domains = [
        Similarity(t, p, p / 2, 2 * p, share, share / 2, share, t in (3, 9), t == 9)
        for t in range(1, 26)
        for p, share in [({3: 0.432, 9: 0.321}.get(t, 0.011), 0.123 if t == 9 else 0.02)]
    ]
    similar = {"target": target, "classifier": "types", "images": 77, "domains": [asdict(d) for d in domains]}
    artifacts.write_json(metrics / "domains" / f"{target}.json", similar)
    between = {"low": -0.05, "high": 0.654, "groups": 9, "level": 0.95}
    nr = {
        f"ridge_{name}": {"srocc": srocc, "plcc": srocc + 0.05, "domains": of, "pooled": {"value": srocc, **between}}
        | {"minus_all": {"value": srocc - 0.4, **between, "p": 0.03}}
        for name, of, srocc in (
            ("all", list(range(1, 26)), 0.4),
            ("mean_prob", [3, 9], 0.5),
            ("top4_vote", [9], 0.6),
            ("greedy", [2, 3], 0.7),
        )
    }
    draws = [{"domains": [1, 2], "srocc": 0.3 + k / 100, "plcc": 0.3} for k in range(3)]
    step = {"domain": 3, "candidates": 25, "value": 0.65, "low": 0.6, "high": 0.69, "groups": 9, "level": 0.95}
    figures = {"encoder": encoder, "source": "photos", "database": database, "oracle": True, "path": [step], "nr": nr}
    figures |= {"stop": "no further type raises the SROCC", "chosen_share": {"3": 0.87}, "random": {"2": draws}}
    artifacts.write_json(metrics / "greedy" / f"{run}.json", figures)


def network(
    metrics: Path, run: str, database: str, selection: str, of: list[int], srocc: float, *, encoder: str
) -> None:
    """What transfer writes of a network that learnt the types ``of``."""
    learnt = {"srocc": srocc, "plcc": 0.3, "pooled": {"value": 0.46, "low": 0.4, "high": 0.52}}
    asked = {"begun_from": encoder, "source": "photos", "database": database, "selection": selection, "types": of}
    judged = {"regressor": "ft_five_crops", "nr": {"ft_five_crops": learnt}}
    artifacts.write_json(metrics / "transfer" / f"{run}.json", asked | judged)


def features(data: Path, name: str, database: str, count: int = 60) -> None:
    """The feature table of ``count`` images in three types of the bank at five levels, each type a cloud."""
    draw = np.random.default_rng(len(name))
    kind, level = 1 + np.arange(count) % 3 * 5, 1 + np.arange(count) // 3 % 5
    images = pa.table(
        {
            "image_id": [f"image{i:03d}" for i in range(count)],
            "group": [str(i % 5) for i in range(count)],
            "reference_id": pa.array([None] * count, pa.string()),
            "is_reference": [False] * count,
            "mos": 6.0 - level + draw.normal(0, 0.1, count),
            "higher_is_better": [True] * count,
            "type": pa.array(kind, pa.int16()),
            "level": pa.array(level, pa.int16()),
            "official_split": pa.array([None] * count, pa.string()),
            "stratum": pa.array([None] * count, pa.string()),
        }
    )
    values = np.eye(3)[np.arange(count) % 3] * 4 + draw.normal(0, 0.1, (count, 3)) + level[:, None] * 0.2
    table = feature_table(images, values.astype(np.float32), encoder=name, database_name=database, metadata={})
    artifacts.write_table(data / "features" / name / f"{database}.parquet", table)


def comparison(metrics: Path, names: list[str]) -> None:
    """metrics/compare.json as the stage lays it out: intervals, one pair, one cross-database figure, a ceiling."""
    at = {"database": "photos", "groups": 6}
    methods = [
        {**at, "mode": "nr", "encoder": name, "regressor": "ridge", "srocc": 0.5, "low": 0.111, "high": 0.888}
        for name in names
    ]
    pair = {
        **at, "mode": "fr", "first": names[0], "first_regressor": "ridge", "second": names[1],
        "second_regressor": "svr", "srocc": -0.123, "low": -0.2, "high": -0.01, "p_holm": 0.034, "p_splits_holm": None,
        "within": {"value": 0.222, "low": 0.1, "high": 0.333},
    }  # fmt: skip
    cross = {
        "train": "koniq10k", "database": "clive", "mode": "nr", "encoder": names[0], "regressor": "ridge",
        "srocc": 0.717, "low": None, "high": None, "plcc": 0.727, "srocc_within": None,
    }  # fmt: skip
    ceiling = {"database": "photos", "images": 625, "srocc": 0.987, "low": 0.98, "high": 0.99}
    found = {"level": 0.95, "methods": methods, "pairs": [pair], "cross": [cross], "ceilings": [ceiling]}
    artifacts.write_json(metrics / "compare.json", found)


def likeness(data: Path, metrics: Path, sets: list[str]) -> None:
    """The statistics of the sets, measured on what :func:`shards` wrote, and their figure."""
    measured = {}
    for name in sets:
        images = ShardSet(data / "sources" / name)
        measured[name] = statistics.measure(images.image(row) for row in range(len(images)))
    artifacts.write_json(metrics / "statistics.json", statistics.compare(measured))
    artifacts.write_bytes(data / "statistics.svg", statistics_figure.svg(measured))
