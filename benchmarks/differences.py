"""One method beside others: how much higher its SROCC is, with an interval that leaves groups out of both at once.

    python -m benchmarks.differences released/ridge floor/ridge floor/svr brisque36/svr [--json] [--predictions FOLDER]

A method is ENCODER/REGRESSOR, or the name of a metric. The predictions are those that the stage `evaluate` wrote. Every
image has the mean of its test predictions over the splits; "within" is the mean SROCC inside strata. The table is
Markdown; an interval above 0 is in bold.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import artifacts
from pipeline.evaluation import difference_interval
from pipeline.evaluation.agreement import Interval
from pipeline.evaluation.comparison.compare import pooled, with_strata, within

MEASURES = ("overall", "within")
HEAD = "| database | mode | {} minus | overall | within strata |\n|---|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("others", nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions"))
    options = parser.parse_args()
    figures = []
    print(HEAD.format(named(options.method)))
    for path in sorted((options.predictions / options.method.split("/")[0]).glob("*.parquet")):
        for mode in ("nr", "fr"):
            for other in options.others:
                first, second = (tested(options.predictions, name, path.stem, mode) for name in (options.method, other))
                if first is None or second is None:
                    continue
                intervals = differences(first, second)
                cells = [path.stem, mode.upper(), named(other), *map(cell, intervals)]
                print(f"| {' | '.join(cells)} |", flush=True)
                both = {name: interval and vars(interval) for name, interval in zip(MEASURES, intervals, strict=True)}
                figures.append({"database": path.stem, "mode": mode, "other": other, **both})
    if options.json:
        print(json.dumps(figures))


def tested(folder: Path, method: str, database: str, mode: str) -> pa.Table | None:
    """A method's test predictions; None where there are none."""
    encoder, _, regressor = method.partition("/")
    path = folder / encoder / f"{database}.parquet"
    if not path.is_file():
        return None
    wanted = (
        (pc.field("part") == "test") & (pc.field("mode") == mode) & (pc.field("regressor") == (regressor or "none"))
    )
    rows = artifacts.read_table(path).filter(wanted)
    return rows if len(rows) else None


def differences(first: pa.Table, second: pa.Table) -> tuple[Interval, Interval | None]:
    """The intervals of the difference, over all images and within strata; the latter None where there are none."""
    ours, theirs = pooled(first), pooled(second)
    if ours["image_id"].tolist() != theirs["image_id"].tolist():
        raise SystemExit("differences: the two methods were not tested on the same images; run evaluate for both")
    scores, groups = (ours["prediction"], theirs["prediction"]), ours["group"]
    overall, _ = difference_interval(*scores, ours["mos"], groups)
    if (strata := with_strata(ours)) is None:
        return overall, None
    return overall, difference_interval(*scores, strata, groups, statistic=within)[0]


def cell(interval: Interval | None) -> str:
    """As in the table: the difference and its interval, bold where that is above 0."""
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.3f}"
    text = f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    return f"**{text}**" if interval.low > 0 else text


def named(method: str) -> str:
    """A method in words."""
    return method.replace("/", ", ").replace("svr", "SVR")


if __name__ == "__main__":
    main()
