"""Tables 2, 3, 5 and 6 of paper 4 (DGQA) from the metrics of a run, with the paper's own rows below ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.evaluation.comparison.published import (
    in_papers_order,
    known_as,
    published_domains,
    published_figures,
)
from pipeline.labels import TYPES
from pipeline.report.tables import Cell, Line, Table, enumeration, figure, interval, readable, signed

PAPER = "DGQA"
RULES = ("mean_prob", "top4_vote")
SELECTIONS = ("all", *RULES, "greedy", "types")
Metrics = Mapping[str, Any]
Rows = dict[str, dict[str, str]]  # method -> column -> cell
Found = dict[str, dict[str, dict[str, dict[str, str]]]]  # method -> target -> run -> column -> cell


@dataclass(frozen=True)
class Selections:
    """``similar``: target -> metrics/domains/TARGET.json; ``judged``: run -> metrics/greedy/RUN.json; ``networks``: run
    -> metrics/transfer/RUN.json; ``cross``: compare's figures of a ridge on all of one database, judged on another.
    """

    similar: Mapping[str, Metrics]
    judged: Mapping[str, Metrics]
    networks: Mapping[str, Metrics] = field(default_factory=dict)
    cross: Sequence[Metrics] = ()


def read_selections(metrics: Path) -> Selections:
    """What the stages domains, greedy, transfer and compare wrote below ``metrics``; empty where they have not run."""
    similar, judged, networks = (
        {path.stem: artifacts.read_json(path) for path in sorted((metrics / stage).glob("*.json"))}
        for stage in ("domains", "greedy", "transfer")
    )
    compared = metrics / "compare.json"
    cross = artifacts.read_json(compared).get("cross", ()) if compared.is_file() else ()
    return Selections(similar, judged, networks, cross)


def selections(run: str, metrics: Metrics) -> Table:
    """A ridge on each selection of types: medians over the splits, and of the images' mean predictions the SROCC and
    its difference to all types' with intervals. Below a selection, random ones of the same size.
    """
    lines = []
    for name in SELECTIONS:
        figures = metrics["nr"].get(f"ridge_{name}")
        if figures is None:
            continue
        pooled, minus = figures["pooled"], figures["minus_all"]
        cells: list[str | Cell] = [
            Cell(_numbers(figures["domains"]) if len(figures["domains"]) < TYPES else "all", kind="text"),
            *(figure(figures[key]) for key in ("srocc", "plcc")),
            f"{figure(pooled['value'])} ({interval(pooled['low'], pooled['high'])})",
            "–" if name == "all" else f"{signed(minus['value'])} ({interval(minus['low'], minus['high'])})",
        ]
        by_similarity = ", by the similarity" if name == "greedy" and not metrics["oracle"] else ""
        lines.append(Line(f"{readable(name)}{by_similarity}", cells))
    for size, draws in sorted(metrics["random"].items(), key=lambda item: int(item[0])):
        spread = [_spread([draw[key] for draw in draws]) for key in ("srocc", "plcc")]
        lines.append(Line(f"random {size}", [f"{len(draws)} draws, median (range)", *spread, "–", "–"], "baseline"))
    title = f"{run}: trained on types of {metrics['source']}, judged on {metrics['database']}, by {metrics['encoder']}"
    columns = ("types", "SROCC", "PLCC", "pooled SROCC (95 %)", "minus all (95 %)")
    return Table(title, columns, lines, corner="selection")


def networks(trained: Mapping[str, Metrics]) -> list[Table]:
    """Networks trained on types of a database, run -> metrics/transfer/RUN.json, a line each: medians over the splits,
    and of the images' mean predictions the SROCC with its interval. No table where there is none.
    """
    lines = []
    for run, metrics in trained.items():
        regressor, figures = _headline(metrics)
        pooled = figures["pooled"]
        types = _numbers(metrics["types"]) if len(metrics["types"]) < TYPES else "all"
        cells: list[str | Cell] = [Cell(types, kind="text"), *(figure(figures[key]) for key in ("srocc", "plcc"))]
        cells.append(f"{figure(pooled['value'])} ({interval(pooled['low'], pooled['high'])})")
        line = f"{run}: {metrics['source']} to {metrics['database']}, {readable(metrics['selection'])}"
        lines.append(Line(line, cells, note=f"from {metrics['begun_from']}, {readable(regressor)}"))
    title = "Networks that were trained on types of a database with the L1 loss, judged on another one"
    columns = ("types", "SROCC", "PLCC", "pooled SROCC (95 %)")
    return [Table(title, columns, lines, corner="run: databases, selection")] if lines else []


def path(run: str, metrics: Metrics) -> Table:
    """The steps of a greedy path, and how often resamples of the target's groups choose each type."""
    shares, lines = metrics["chosen_share"], []
    for number, step in enumerate(metrics["path"], 1):
        share = shares.get(str(step["domain"]))
        cells = [f"#{step['domain']}", figure(step["value"]), interval(step["low"], step["high"])]
        lines.append(Line(str(number), [*cells, "–" if share is None else f"{share:.0%}", str(step["candidates"])]))
    who = "the target's opinions" if metrics["oracle"] else "the similarity"
    title = f"{run}: the path that {who} chose; it ends because {metrics['stop']}"
    columns = ("type", "SROCC", "95 %", "chosen by resamples", "sets tried")
    return Table(title, columns, lines, corner="step")


def _spread(values: Sequence[float]) -> str:
    return f"{figure(float(np.median(values)))} ({interval(min(values), max(values))})"


def paper_tables(found: Selections) -> list[Table]:
    """The paper's tables 2, 3, 5 and 6 that ``found`` has rows for."""
    return [*([_selected(found)] if found.similar else ()), *(_judged(found) if found.judged else ())]


def contradictions() -> list[str]:
    """Selections that the paper and its code print differently, a sentence each."""
    sets: dict[tuple[str, str], dict[str, set[int]]] = {}
    for row in published_domains():
        sets.setdefault((row.rule, row.target), {}).setdefault(row.source, set()).add(row.domain)
    sentences = []
    for (rule, target), by_source in sets.items():
        shared = set.intersection(*by_source.values())
        apart = {source: _numbers(types - shared) for source, types in by_source.items() if types - shared}
        if apart:
            differences = "; ".join(f"{source} has {types}" for source, types in apart.items())
            sentences.append(f"The published {rule} types for {target} contradict each other: {differences}.")
    return sentences


def _selected(found: Selections) -> Table:
    """Table 2: the types that each target selects, how many there are (N.o.S.) and how often each is (N.o.T.)."""
    rows: dict[str, set[int]] = {}
    for target, metrics in found.similar.items():
        for rule in RULES:
            rows[f"{target}, {rule}"] = {d["domain"] for d in metrics["domains"] if d[f"selected_{rule}"]}
    printed: dict[str, set[int]] = {}
    for row in published_domains():
        if row.rule == "DGDS":
            printed.setdefault(f"{row.target}, {PAPER}", set()).add(row.domain)
    types = sorted(set.union(*rows.values(), *printed.values()))
    columns = [*(f"#{number}" for number in types), "N.o.S."]
    lines = []
    for of in (rows, printed):
        lines += [Line(name, [*("✓" if t in mine else "" for t in types), str(len(mine))]) for name, mine in of.items()]
        counts = [sum(t in mine for mine in of.values()) for t in types]
        whose = "N.o.T., ours" if of is rows else f"N.o.T., {PAPER}"
        lines.append(Line(whose, [*map(str, counts), ""]))
    return Table("Table 2: types that each target resembles", columns, lines, corner="target")


def _judged(found: Selections) -> list[Table]:
    """Tables 3, 5 and 6: SROCC and PLCC on each target. Where runs of a method have different figures on a target,
    each of them has a row, which names it.
    """
    third, fifth, sixth = Found(), Found(), Found()

    def put(table: Found, method: str, database: str, figures: Metrics, base: Metrics | None = None) -> None:
        for key in ("srocc", "plcc"):
            gain = f" ({signed(figures[key] - base[key])})" if base else ""
            cells = table.setdefault(method, {}).setdefault(database, {}).setdefault(run, {})
            cells[f"{known_as(database)} {key.upper()}"] = figure(figures[key]) + gain

    for run, metrics in found.judged.items():
        target, nr = metrics["database"], metrics["nr"]
        who, every = f"{metrics['encoder']}, {metrics['source']}", nr["ridge_all"]

        put(fifth, f"{who}: all", target, every)
        for rule in RULES:
            if (selected := nr.get(f"ridge_{rule}")) is not None:
                put(fifth, f"{who}: {rule}", target, selected, every)
                put(sixth, f"{who}: {rule}", target, selected)
        if "ridge_mean_prob" in nr:
            put(third, who, target, nr["ridge_mean_prob"])
        chooser = "the target's opinions choose" if metrics["oracle"] else "the similarity chooses"
        put(sixth, f"{who}: greedy ({chooser})", target, nr["ridge_greedy"])
        for row in found.cross:
            mine = (row["encoder"], row["database"], row["mode"]) == (metrics["encoder"], metrics["database"], "nr")
            if mine and row["train"] != metrics["source"]:
                put(sixth, f"{metrics['encoder']}, all of {row['train']}", target, row)
    whole = {_begun(n): _headline(n)[1] for n in found.networks.values() if n["selection"] == "all"}
    for run, network in sorted(found.networks.items(), key=lambda item: item[1]["selection"] != "all"):
        target, selection, figures = network["database"], network["selection"], _headline(network)[1]
        who = f"{network['begun_from']}, {network['source']}, network"
        put(fifth, f"{who}: {selection}", target, figures, whole.get(_begun(network)) if selection != "all" else None)
        if selection in RULES:
            put(third, who, target, figures)
            put(sixth, f"{who}: {selection}", target, figures)
    titles = {
        "T3": "Table 3: trained on the selected types of a synthetic database",
        "T5": "Table 5: all types against the selected ones",
        "T6": "Table 6: selected, greedy, and trained on another database",
    }
    return [
        _with_published(key, title, _by_run(ours))
        for (key, title), ours in zip(titles.items(), (third, fifth, sixth), strict=True)
    ]


def _begun(network: Metrics) -> tuple[str, str, str]:
    """What the networks have in common whose gain over all types can be told."""
    return network["begun_from"], network["source"], network["database"]


def _by_run(found: Found) -> Rows:
    """A row for each method; where its runs disagree on a target, a row for each of them."""
    rows = Rows()
    for method, targets in found.items():
        for runs in targets.values():
            first, *others = runs.values()
            agree = all(cells == first for cells in others)
            for run, cells in runs.items():
                rows.setdefault(method if agree else f"{method}, {run}", {}).update(cells)
    return rows


def _headline(network: Metrics) -> tuple[str, Metrics]:
    """The regressor that a network's metrics name first, mode and view, and its figures."""
    regressor = network["regressor"]
    return regressor, network["nr"][regressor]


def _with_published(table: str, title: str, ours: Rows) -> Table:
    theirs = Rows()
    for row in published_figures():
        if PAPER in row.source and row.table == table:
            method = row.method if PAPER in row.method else f"{row.method} ({PAPER})"
            theirs.setdefault(method, {})[f"{row.database} {row.metric}"] = figure(row.value)
    names = (column.split(" ")[0] for rows in (ours, theirs) for row in rows.values() for column in row)
    columns = [f"{name} {key}" for name in in_papers_order(names) for key in ("SROCC", "PLCC")]
    lines = [
        Line(name, [row.get(column, "–") for column in columns])
        for rows in (ours, theirs)
        for name, row in rows.items()
    ]
    return Table(title, columns, lines, corner="method")


def _numbers(types: Iterable[int]) -> str:
    return enumeration([f"#{number}" for number in sorted(types)])
