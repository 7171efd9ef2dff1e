"""Paper 3 on real opinions: contrastive training, regression and both together, at equal compute.

    python -m benchmarks.semi_supervised WORK --database NAME=FOLDER ... [--seeds 1,2,3] [--crops 36000] [--json]

Each encoder is the small profile's (ResNet-18 of width 16, crops of 64) and sees ``--crops`` crops: of a set of
textured dead leaves (contrastive, alpha 1), of the train part of the database's split 0 (supervised, alpha 0), or of
both (joint, alpha 0.9). A seed decides weights, draws and the split. Each is judged on the test part of that split by
the ridge of `evaluate` on its features, which is a linear probe; beside them stands the network that was not trained.
The table has the SROCC of each seed, their mean, and the 95 % interval (t, over the seeds) of the difference from
contrastive alone.

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
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}  # by the number of seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--database", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--crops", type=int, default=36_000, help="that an encoder is trained on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    databases = {name: Path(path).resolve() for name, path in (entry.split("=", 1) for entry in options.database)}
    options.work.mkdir(parents=True, exist_ok=True)
    os.chdir(options.work)
    figures: dict[str, Any] = {}
    for seed in map(int, options.seeds.split(",")):
        for database in databases:
            for method in ("random_init", *METHODS):
                params = page(databases, seed, options.crops)
                figure = judged(params, method, database, seed)
                figures.setdefault(database, {}).setdefault(method, []).append(figure)
                print(f"{time.strftime('%H:%M:%S')} {database} {method} seed {seed}: {figure:.3f}", flush=True)
    print(table(figures))
    if options.json:
        print(json.dumps(figures))


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
    content |= {"seed": seed, "sets": {SET: {}}, "train": {}, "classify": {}, "domains": {}}
    content["databases"] = {name: {"folder": str(folder)} for name, folder in databases.items()}
    content["encoders"] = ["random_init", *content["joint"]]
    content["run"] |= {"engine": "serial", "device": "cpu"}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    return load(Path("params.yaml"))


def run_name(method: str, database: str, seed: int) -> str:
    """Contrastive alone sees no database, so it is trained once for all."""
    return f"{method}_{seed}" if method == "contrastive" else f"{method}_{database}_{seed}"


def judged(params: Any, method: str, database: str, seed: int) -> float:
    """SROCC on the test part of split 0; whatever is missing is made first."""
    import pyarrow.compute as pc

    from pipeline.artifacts import read_table
    from pipeline.evaluation import measure
    from stages import DATA, distort, evaluate, features, ingest, joint, random_init, sources

    encoder = method if method == "random_init" else run_name(method, database, seed)
    predictions = DATA / "predictions" / encoder / f"{database}.parquet"
    made = params.model_copy(update={"seed": 1})  # one set and one untrained network for all seeds
    if not (DATA / "distorted" / SET / "manifest.json").exists():
        sources.run(made, SET)
        distort.run(made, SET)
    if not (DATA / "databases" / f"{database}.parquet").exists():
        ingest.run(params, database)
    if not (DATA / "models" / encoder / "encoder.json").exists():
        random_init.run(made) if method == "random_init" else joint.run(params, encoder)
    if not (DATA / "features" / encoder / f"{database}.parquet").exists():
        features.run(params, encoder, database)
    evaluate.run(params, encoder, database)  # random_init again for each seed: other splits
    table = read_table(predictions).filter(
        (pc.field("split") == 0) & (pc.field("part") == "test") & (pc.field("mode") == "nr")
    )
    return measure(table["prediction"].to_numpy(), table["mos"].to_numpy()).srocc


def table(figures: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: a row for each database and encoder."""
    lines = ["| database | encoder | SROCC of each seed | mean | minus contrastive |", "|---|---|---|---|---|"]
    for database, of_methods in figures.items():
        for method, values in of_methods.items():
            differences = [value - base for value, base in zip(values, of_methods["contrastive"], strict=True)]
            against = "" if method == "contrastive" else interval(differences)
            shown = ", ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {database} | {method} | {shown} | {statistics.mean(values):.3f} | {against} |")
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
