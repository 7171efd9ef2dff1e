"""Ridge of a whole evaluation against scikit-learn, a table four times its memory allowance, coverage of intervals.

    python -m benchmarks.evaluation [--json] [--rows 10125] [--dim 4096] [--splits 10] [--peer-fits 3]

KADID-10k's size: 10,125 images of 4,096 features, 10 splits of 70/10/20 % of 81 groups, 13 lambdas. Single-threaded
CPU-seconds, so that other work on the machine does not count; scikit-learn's 130 fits are extrapolated from a few,
whose predictions ours are compared with. Then the two solvers of a ridge by size (a Cholesky factor for each lambda,
and Krylov spaces), and the coverage of the intervals over 1,000 simulated databases. Greedy selection of types (25 of
405 images, 512 features, 154 candidate sets) against scikit-learn's fit of each set from its rows. About five minutes
of CPU; ``--only greedy`` takes one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.domains import DomainGrams, greedy_path
from pipeline.evaluation import Protocol, correlation_interval, evaluate
from pipeline.evaluation.agreement import srocc
from pipeline.evaluation.regressors import RegressionData, Ridge, open_features, predict, shifted_systems
from pipeline.evaluation.regressors.ridge import fit
from pipeline.evaluation.splits import random_splits
from pipeline.features import FeatureTable, feature_table, read_features

LAMBDAS = np.geomspace(1e-3, 1e3, 13)
ALLOWANCE = 2**28  # bytes: 256 MiB, for a table of 1 GiB


def write_table(path: Path, rows: int, dim: int, groups: int) -> None:
    """A feature table of ReLU-like unit halves, block by block, with opinions that a tenth of the features tell."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=dim) * (rng.random(dim) < 0.1)
    writer = None
    for start in range(0, rows, 1024):
        count = min(1024, rows - start)
        halves = np.maximum(rng.standard_normal((count, 2, dim // 2), dtype=np.float32), 0)
        x = (halves / np.linalg.norm(halves, axis=2, keepdims=True)).reshape(count, dim)
        numbers = range(start, start + count)
        database = pa.table(
            {
                "image_id": [f"image{i:07d}" for i in numbers],
                "group": [f"group{i % groups:04d}" for i in numbers],
                "reference_id": pa.nulls(count, pa.string()),
                "is_reference": [False] * count,
                "mos": x @ direction + 0.1 * rng.normal(size=count),
                "higher_is_better": [True] * count,
                **{name: pa.nulls(count, pa.int16()) for name in ("type", "level")},
                **{name: pa.nulls(count, pa.string()) for name in ("official_split", "stratum")},
            }
        )
        block = feature_table(database, x, encoder="synthetic", database_name="synthetic", metadata={"dim": dim})
        writer = writer or pq.ParquetWriter(path, block.schema, compression="zstd", compression_level=1)
        writer.write_table(block)
    assert writer is not None
    writer.close()


def ridge_ratio(table: FeatureTable, splits: int, peer_fits: int) -> dict[str, float]:
    """CPU-seconds of all splits and lambdas, ours and scikit-learn's, and the largest difference of predictions."""
    from sklearn.linear_model import Ridge as Peer

    y, groups = table.columns["mos"].to_numpy(), np.asarray(table.columns["group"].to_pylist())
    parts = random_splits(groups, seed=0, database="benchmark", count=splits)
    start = process_time()
    data = RegressionData(open_features(table, memory=2**32)["nr"], y, groups, workers=1)
    sroccs = [srocc(Ridge(tuple(LAMBDAS)).fit(data, split).test, y[split.test]) for split in parts]
    ours = process_time() - start
    first = predict(data.features, parts[0].test, fit(data, parts[0].train, LAMBDAS))
    train, test = (data.features.take(part) for part in (parts[0].train, parts[0].test))
    seconds, difference = [], 0.0
    for index in np.linspace(0, len(LAMBDAS) - 1, peer_fits).astype(int):
        start = process_time()
        predicted = Peer(alpha=LAMBDAS[index]).fit(train, y[parts[0].train]).predict(test)
        seconds.append(process_time() - start)
        difference = max(difference, float(np.max(np.abs(predicted - first[:, index]))))
    peer = float(np.median(seconds)) * splits * len(LAMBDAS)
    return {
        "ridge_cpu_seconds": ours,
        "sklearn_cpu_seconds_one_fit": float(np.median(seconds)),
        "sklearn_cpu_seconds_extrapolated": peer,
        "ridge_cpu_ratio": peer / ours,
        "ridge_largest_difference": difference,
        "ridge_median_srocc": float(np.median(sroccs)),
    }


def solvers(sizes: Sequence[int] = (36, 256, 512, 1024, 2048), repetitions: int = 5) -> dict[str, float]:
    """CPU-milliseconds for all lambdas on Gram matrices of growing size: a factor for each lambda, Krylov spaces (the
    median of interleaved repetitions); and the largest difference of their solutions, relative to the largest entry.
    """
    figures, difference, small = {}, 0.0, shifted_systems.SMALL
    for size in sizes:
        rng = np.random.default_rng(size)
        x = np.maximum(rng.normal(0.6, 0.5, (2 * size, size)), 0)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        x -= x.mean(axis=0)
        gram, right = np.asfortranarray(x.T @ x), x.T @ rng.normal(size=2 * size)
        seconds: dict[str, list[float]] = {"factors": [], "krylov": []}
        solutions = {}
        for _ in range(repetitions):
            for name, up_to in (("factors", size), ("krylov", 0)):
                shifted_systems.SMALL = up_to
                start = process_time()
                solutions[name] = shifted_systems.shifted_solutions(gram, right, LAMBDAS)
                seconds[name].append(process_time() - start)
        figures |= {f"{name}_cpu_ms_{size}": 1000 * float(np.median(each)) for name, each in seconds.items()}
        apart = np.max(np.abs(solutions["factors"] - solutions["krylov"])) / np.max(np.abs(solutions["factors"]))
        difference = max(difference, float(apart))
    shifted_systems.SMALL = small
    return figures | {"solvers_largest_difference": difference, "factors_up_to": small}


def greedy_ratio(types: int = 25, each: int = 405, dim: int = 512, images: int = 1162) -> dict[str, float]:
    """CPU-seconds of a path of seven types (25 + 24 + ... + 19 = 154 sets), by sums of Gram matrices and by a fit of
    scikit-learn's for each set; and the largest difference of their predictions.
    """
    from sklearn.linear_model import Ridge as Peer

    rng = np.random.default_rng(5)
    domains, weights = np.repeat(np.arange(1, types + 1), each), rng.normal(size=dim)
    x = np.maximum(rng.standard_normal((types * each, dim), dtype=np.float32), 0)
    apart = rng.normal(size=(types, dim)) * np.linspace(0.5, 3, types)[:, None]  # each type's own way to be wrong
    y = np.einsum("nd,nd->n", x, weights + apart[domains - 1]) + 5 * rng.normal(size=len(x))
    target = np.maximum(rng.standard_normal((images, dim), dtype=np.float32), 0)
    opinions, groups = target @ weights + 5 * rng.normal(size=images), np.arange(images).astype(str)
    start = process_time()
    grams = DomainGrams(x, y, domains)
    path = greedy_path(grams, target, opinions, groups, penalty=1.0, most=7)
    ours, naive, sets, difference = process_time() - start, 0.0, 0, 0.0
    for index, step in enumerate(path.steps):
        before, scores = step.domains[:-1], {}
        for domain in sorted(set(range(1, types + 1)) - set(before)):
            start = process_time()
            rows = np.isin(domains, [*before, domain])
            predicted = Peer(alpha=1.0).fit(x[rows].astype(np.float64), y[rows]).predict(target.astype(np.float64))
            scores[domain] = srocc(predicted, opinions)
            naive += process_time() - start
            sets += 1
            own = grams.fit([*before, domain], 1.0).predict(target)[:, 0]
            difference = max(difference, float(np.max(np.abs(own - predicted)) / np.std(predicted)))
        assert max(scores, key=lambda domain: scores[domain]) == step.domain, f"step {index + 1} differs"
    return {
        "greedy_sets": sets,
        "greedy_cpu_seconds": ours,
        "greedy_naive_cpu_seconds": naive,
        "greedy_cpu_ratio": naive / ours,
        "greedy_largest_difference": difference,
    }


def coverage(groups: int, each: int, effect: float, repetitions: int = 1000) -> float:
    """Share of nominal 95 % intervals of SROCC that hold the population's value, contents differing by ``effect``."""

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        quality = rng.uniform(0, 1, (count, each))
        slope, offset = 1 + effect * rng.normal(size=(count, 1)), effect * rng.normal(size=(count, 1))
        mos = slope * quality + offset + 0.15 * rng.normal(size=(count, each))
        return quality.ravel(), mos.ravel(), np.repeat(np.arange(count), each)

    true = srocc(*draw(np.random.default_rng(99), 4000)[:2])
    rng = np.random.default_rng([groups, each, int(10 * effect)])
    return float(np.mean([correlation_interval(*draw(rng, groups)).contains(true) for _ in range(repetitions)]))


def memory_of_a_large_table(folder: Path) -> dict[str, float]:
    """Evaluate a table of four times the allowance in a process of its own; peak memory above what its imports take."""
    path = folder / "large.parquet"
    dim = 1024
    write_table(path, 4 * ALLOWANCE // (4 * dim), dim, groups=200)
    command = [sys.executable, "-m", "benchmarks.evaluation", "--child", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(output.stdout.splitlines()[-1]))


def child(path: Path) -> dict[str, float]:
    """What :func:`memory_of_a_large_table` runs."""
    small = path.with_name("small.parquet")
    write_table(small, 3000, 64, groups=50)  # imports, dask's and BLAS's among them, are not the table's memory
    evaluate(read_features(small), Protocol("random", splits=1, memory=0))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, start = _resident("VmRSS"), process_time()
    _, metrics = evaluate(read_features(path), Protocol("random", splits=2, memory=ALLOWANCE))
    return {
        "memory_allowance_mb": ALLOWANCE / 2**20,
        "memory_table_mb": metrics["images"] * metrics["dim"] * 4 / 2**20,
        "memory_peak_mb": (_resident("VmHWM") - before) / 2**20,
        "memory_cpu_seconds": process_time() - start,
    }


def _resident(which: str) -> int:
    """Resident set of this process in bytes, now (VmRSS) or at its highest (VmHWM); rusage would count the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(which))


def whole_evaluation(rows: int, dim: int, splits: int, peer_fits: int) -> dict[str, float]:
    """All parts but the greedy one."""
    from threadpoolctl import threadpool_limits

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "features.parquet"
        write_table(path, rows, dim, groups=81)
        with threadpool_limits(1):
            figures = ridge_ratio(read_features(path), splits, peer_fits) | solvers()
        path.unlink()
        figures |= memory_of_a_large_table(Path(name))
    for groups, each in ((6, 27), (16, 125)):
        for effect in (0.0, 0.3):
            figures[f"coverage_{groups}_groups_effect_{effect:.1f}"] = coverage(groups, each, effect)
    print(f"{rows} x {dim}, {splits} splits, {len(LAMBDAS)} lambdas, one thread")
    print(f"  scikit-learn: {peer_fits} fits measured, {splits * len(LAMBDAS)} extrapolated")
    return figures


def main() -> None:
    """Run, print a table and, with ``--json``, one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=10_125)
    parser.add_argument("--dim", type=int, default=4096)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--peer-fits", type=int, default=3)
    parser.add_argument("--only", choices=["greedy"], help="one part alone")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child)))
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        figures = greedy_ratio()
    if arguments.only is None:
        figures |= whole_evaluation(arguments.rows, arguments.dim, arguments.splits, arguments.peer_fits)
    for key, value in figures.items():
        print(f"  {key:<36} {value:14.4g}")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
