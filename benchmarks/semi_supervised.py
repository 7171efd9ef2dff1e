"""Paper 3 on real opinions: contrastive training, regression and both together, at equal compute.

    python -m benchmarks.semi_supervised WORK --database NAME=FOLDER ... [--seeds 1,2,3] [--modes ridge,lp] [--json]

Images of the databases are reduced to at most ``--longest`` pixels (the paper's are 224 x 224, section 4.3). Each
encoder is the small profile's (ResNet-18 of width 16, crops of 64) and sees ``--crops`` crops: of a set of textured
dead leaves (contrastive, alpha 1), of the train part of the database's split 0 (supervised, alpha 0), or of both
(joint, alpha 0.9). A seed decides weights, draws and the split. Each is judged on the test part of that split in four
modes; beside them stands the ridge on the network that was not trained.

- ridge: that of `evaluate` on the features of whole images, a linear probe
- lp: a head (one hidden layer) on the same features, 1,600 steps of 32 images
- ft: encoder and head, 160 steps of 32 crops; the answer is the mean of five crops
- lp_ft: 160 steps of lp on five fixed crops of each image, then ft

How rates are chosen: each candidate of ``CANDIDATES`` is trained on the three encoders of the first seed. The one with
the lowest last validation loss, the mean over the three, is taken for the database, for all encoders and seeds. The
losses are those of the validation part of split 0: predictions of a test part choose nothing. lp_ft takes ft's. The
number of steps is fixed; after 2 of 5 looks at the validation part without a lower loss the rates fall to a tenth.

The table has the SROCC of each seed, their mean, and the 95 % interval (t, over the seeds) of the difference from
contrastive alone in the same mode.

Everything runs in the folder WORK by the stages' own code, one run after another; what is done stays done.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

SET = "textured_dead_leaves"
METHODS = {"contrastive": 1.0, "joint": 0.9, "supervised": 0.0}
LABELLED = {"contrastive": 16, "joint": 16, "supervised": 32}  # images with opinions in a step
STEPS = 46  # in an epoch of 26 sources: 24 of 26 images of each of 125 classes, 64 a step
CANDIDATES: dict[str, list[dict[str, float]]] = {
    "ridge": [{}],  # chooses for itself
    "lp": [{"head_learning_rate": rate} for rate in (1e-3, 1e-2)],
    "ft": [{"learning_rate": rate, "head_learning_rate": 1e-3} for rate in (3e-4, 1e-3)],
}
MODES = {"ridge": "ridge", "lp": "lp", "ft": "ft", "lp_ft": "ft"}  # and whose candidates they take
TUNING_STEPS = {"lp": 1600, "ft": 160, "lp_ft": 160}
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}  # by the number of seeds
Figures = dict[tuple[str, str], dict[str, list[float]]]  # (database, mode) -> encoder -> SROCC of each seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--database", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--crops", type=int, default=16_000, help="that an encoder is trained on")
    parser.add_argument("--modes", default=",".join(MODES), help="separated by commas")
    parser.add_argument("--longest", type=int, default=256, help="side of the databases' images, pixels")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    os.chdir(options.work)
    databases = {
        name: reduced(Path(path), Path(name).resolve(), options.longest)
        for name, path in (entry.split("=", 1) for entry in options.database)
    }
    seeds = [int(seed) for seed in options.seeds.split(",")]
    figures: Figures = {}
    for mode in options.modes.split(","):
        for database in databases:
            pages = {seed: page(databases, seed, options.crops) for seed in seeds}
            chosen = choice(pages[seeds[0]], database, seeds[0], MODES[mode])
            for seed, params in pages.items():
                for method in (*["random_init"] * (mode == "ridge"), *METHODS):
                    figure = judged(params, method, database, seed, mode, chosen)
                    figures.setdefault((database, mode), {}).setdefault(method, []).append(figure)
                    print(f"{time.strftime('%X')} {database} {mode} {method} seed {seed}: {figure:.3f}", flush=True)
    print(table(figures))
    if options.json:
        print(json.dumps({" ".join(key): of_methods for key, of_methods in figures.items()}))


def reduced(folder: Path, to: Path, longest: int) -> Path:
    """A copy of a database whose images have at most ``longest`` pixels a side, as QOI under their old names."""
    import cv2

    from pipeline.artifacts import write_bytes
    from pipeline.images import encode, read

    for path in [path for path in sorted(folder.rglob("*")) if path.is_file() and not to.joinpath("done").exists()]:
        content = path.read_bytes()
        if path.suffix in (".jpg", ".png"):
            image = read(path)
            scale = min(1.0, longest / max(image.shape[:2]))
            content = encode(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        write_bytes(to / path.relative_to(folder), content)
    write_bytes(to / "done", b"")
    return to


def page(databases: dict[str, Path], seed: int, crops: int) -> Any:
    """The small profile with one run for each method and database, on one thread."""
    import yaml

    from pipeline.params import load
    from pipeline.profiles import profile_text

    content = yaml.safe_load(profile_text("small"))
    content["joint"] = {
        run_name(method, database, seed): {
            "set": SET,
            "database": database,
            "alpha": alpha,
            "labelled_batch": LABELLED[method],
            "epochs": crops / (2 * 64 * (alpha > 0) + LABELLED[method] * (alpha < 1)) / STEPS,
            "stop_after": None,  # equal compute
        }
        for database in databases
        for method, alpha in METHODS.items()
    }
    content |= {"seed": seed, "sets": {SET: {}}, "train": {}, "classify": {}, "domains": {}, "finetune": {}}
    content["databases"] = {name: {"folder": str(folder)} for name, folder in databases.items()}
    content["encoders"] = ["random_init", *content["joint"]]
    content["features"] |= {"precision": "bf16"}  # of the ridge and lp alike: half the time
    content["run"] |= {"engine": "serial", "device": "cpu"}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    return load(Path("params.yaml"))


def run_name(method: str, database: str, seed: int) -> str:
    """Contrastive alone sees no database, so it is trained once for all."""
    if method == "random_init":
        return method
    return f"{method}_{seed}" if method == "contrastive" else f"{method}_{database}_{seed}"


def judged(params: Any, method: str, database: str, seed: int, mode: str, knobs: dict[str, float]) -> float:
    """SROCC on the test part of split 0; whatever is missing is made first."""
    import pyarrow.compute as pc

    from pipeline.artifacts import read_table
    from pipeline.evaluation import measure
    from stages import DATA, evaluate

    encoder = trained(params, method, database, seed)
    if mode != "ridge":
        encoder = tuned(params, method, database, seed, mode, knobs)
    evaluate.run(params, encoder, database)  # random_init again for each seed: other splits
    predictions = read_table(DATA / "predictions" / encoder / f"{database}.parquet").filter(
        (pc.field("split") == 0) & (pc.field("part") == "test") & (pc.field("mode") == "nr")
    )
    return measure(predictions["prediction"].to_numpy(), predictions["mos"].to_numpy()).srocc


def trained(params: Any, method: str, database: str, seed: int) -> str:
    """The name of an encoder that is here, with its features of the database."""
    from stages import DATA, distort, features, ingest, joint, random_init, sources

    encoder = run_name(method, database, seed)
    made = params.model_copy(update={"seed": 1})  # one set and one untrained network for all seeds
    if not (DATA / "distorted" / SET / "manifest.json").exists():
        sources.run(made, SET)
        distort.run(made, SET)
    for each in params.databases:  # contrastive alone names one of them and looks at no opinion of it
        if not (DATA / "databases" / f"{each}.parquet").exists():
            ingest.run(params, each)
    if not (DATA / "models" / encoder / "encoder.json").exists():
        random_init.run(made) if method == "random_init" else joint.run(params, encoder)
    if not (DATA / "features" / encoder / f"{database}.parquet").exists():
        features.run(params, encoder, database)
    return encoder


def tuned(params: Any, method: str, database: str, seed: int, mode: str, knobs: dict[str, float]) -> str:
    """The name of a fine-tuning with these rates, which is here."""
    import pyarrow.parquet as pq

    from pipeline.params.sections import FinetuneRun
    from stages import DATA, finetune

    encoder = trained(params, method, database, seed)
    rates = "_".join(f"{rate:g}".replace(".", "") for rate in knobs.values())
    name = f"{mode}_{rates}_{encoder}" + f"_{database}" * (method == "contrastive")
    if not (DATA / "models" / name / "predictions" / f"{database}.parquet").exists():
        images = pq.read_metadata(DATA / "databases" / f"{database}.parquet").num_rows
        epochs = 32 * TUNING_STEPS[mode] / (0.6 * images)
        line = FinetuneRun(
            encoder=encoder,
            database=database,
            mode=mode,
            epochs=epochs,
            validate_every=epochs / 5,
            patience=2,
            stop_after=None,
            splits=1,
            views=("five_crops",),
            **knobs,
        )
        finetune.run(params.model_copy(update={"finetune": {name: line}}), name)
    return name


def choice(params: Any, database: str, seed: int, mode: str) -> dict[str, float]:
    """The candidate with the lowest validation loss, the mean over the encoders."""
    from pipeline.artifacts import read_table
    from stages import DATA

    losses = []
    for knobs in CANDIDATES[mode] if len(CANDIDATES[mode]) > 1 else []:
        runs = [tuned(params, method, database, seed, mode, knobs) for method in METHODS]
        last = [read_table(DATA / "models" / run / "history.parquet")["validation_loss"][-1].as_py() for run in runs]
        losses.append(statistics.mean(last))
        print(f"{database} {mode} {knobs}: validation loss {losses[-1]:.3f}", flush=True)
    return CANDIDATES[mode][losses.index(min(losses)) if losses else 0]


def table(figures: Figures) -> str:
    """Markdown: a row for each database, mode and encoder."""
    lines = [
        "| database | mode | encoder | SROCC of each seed | mean | minus contrastive |",
        "|---|---|---|---|---|---|",
    ]
    for (database, mode), of_methods in sorted(figures.items(), key=lambda pair: pair[0][0]):
        for method, values in of_methods.items():
            differences = [value - base for value, base in zip(values, of_methods["contrastive"], strict=True)]
            against = "" if method == "contrastive" else interval(differences)
            shown = ", ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {database} | {mode} | {method} | {shown} | {statistics.mean(values):.3f} | {against} |")
    return "\n".join(lines)


def interval(values: list[float]) -> str:
    """Mean and 95 % interval."""
    mean = statistics.mean(values)
    if len(values) not in T_975:
        return f"{mean:+.3f}"
    half = T_975[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


if __name__ == "__main__":
    main()
