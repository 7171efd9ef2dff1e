"""What must agree between the sections of params.yaml."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pipeline.params.page import BASELINES, CLASSIFIER, DRAWN_SETS, EMBEDDED, RANDOM_INIT, RELEASED, Params

EMBEDDED_FOLDER = f"data/distorted/{EMBEDDED}"


@dataclass(frozen=True)
class Mistake:
    """One mistake in one line, and the keys that it comes from."""

    text: str
    keys: tuple[str, ...]


def mistake(key: str, value: object, text: str, *also: str) -> Mistake:
    """A mistake at ``key``, whose value the line shows, cut where it is long. ``also``: other keys it comes from."""
    shown = json.dumps(value, default=str)
    return Mistake(f"{key} = {shown if len(shown) <= 60 else shown[:57] + '...'}: {text}", (key, *also))


def nearest(name: object, known: Collection[str]) -> str:
    """`; did you mean ...?` where one of the known names looks like ``name``, else nothing."""
    close = get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def disagreements(params: Params, imported: Collection[str], classifiers: Collection[str]) -> list[Mistake]:
    """All mistakes between sections. ``imported``: further encoders, which lie in data/models; ``classifiers``: those
    of them that know the types.
    """
    checks = (
        _sets(params),
        _databases(params),
        _encoders(params, imported),
        _runs(params),
        _joint_runs(params),
        _classifiers(params, imported, classifiers),
        _finetuned(params),
        _transfers(params),
        _knobs(params),
    )
    return list(dict.fromkeys(disagreement for check in checks for disagreement in check))


def _not_one_of(key: str, value: str, known: Sequence[str], what: str = "") -> Mistake:
    listed = ", ".join(known) or "none"
    return mistake(key, value, f"not one of {what}{listed}{nearest(value, known)}")


def _sets(params: Params) -> Iterator[Mistake]:
    for name, given in params.sets.items():
        if name in DRAWN_SETS and given.folder is not None:
            yield mistake(f"sets.{name}.folder", given.folder, f"{name} needs no folder; give yours another name")
        elif name not in DRAWN_SETS and given.folder is None:
            drawn = f"only {', '.join(DRAWN_SETS)} need none{nearest(name, DRAWN_SETS)}"
            yield mistake(f"sets.{name}", {}, f"a set of yours needs its `folder`; {drawn}")
    for name, model in params.niqe.items():
        if model.set not in params.sets:
            yield _not_one_of(f"niqe.{name}.set", model.set, [*params.sets], "sets: ")
    for name in params.quality:
        if name not in params.sets:
            yield _not_one_of("quality", name, [*params.sets], "sets: ")


def _databases(params: Params) -> Iterator[Mistake]:
    for name, given in params.pooled.items():
        if name in params.databases:
            yield Mistake(f"pooled.{name}: the name stands under `databases`; give another", (f"pooled.{name}",))
        featured = [encoder for encoder in params.encoders if not params.is_metric(encoder)]
        if given.encoder not in featured:
            yield _not_one_of(f"pooled.{name}.encoder", given.encoder, featured, "encoders: ")
        for database in given.databases:
            if database not in params.databases:
                yield _not_one_of(f"pooled.{name}.databases", database, [*params.databases], "databases: ")
        if given.order and given.order.set not in params.sets:
            yield _not_one_of(f"pooled.{name}.order.set", given.order.set, [*params.sets], "sets: ")
    if (own := params.databases.get(EMBEDDED)) is None:
        return
    if own.folder != EMBEDDED_FOLDER:
        yield mistake(f"databases.{EMBEDDED}.folder", own.folder, f"it is made by the stages, in {EMBEDDED_FOLDER}")
    if EMBEDDED not in params.sets:
        yield mistake(f"databases.{EMBEDDED}", own.model_dump(), f"made of the set {EMBEDDED}, which is not in sets")


def _encoders(params: Params, imported: Collection[str]) -> Iterator[Mistake]:
    fixed = {RELEASED: "is the released encoder", RANDOM_INIT: "is the network before training"}
    taken = {**fixed, **dict.fromkeys(BASELINES, "is a baseline")}
    for section in ("train", "joint", "classify", "finetune", "transfer", "readouts", "niqe"):
        for name in getattr(params, section):
            if name in taken:
                yield Mistake(f"{section}.{name}: the name {taken[name]}; give another", (f"{section}.{name}",))
            taken[name] = f"stands under `{section}`"
    networks = [*params.train, *params.joint, *params.classify, *params.finetune, RELEASED, RANDOM_INIT, *imported]
    for name, readout in params.readouts.items():
        if readout.encoder not in networks:
            yield _not_one_of(f"readouts.{name}.encoder", readout.encoder, networks)
    known = list(dict.fromkeys([*networks, *params.readouts, *params.niqe, *BASELINES]))
    for name in dict.fromkeys(params.encoders):
        if params.encoders.count(name) > 1:
            yield mistake("encoders", name, "named twice")
        if name not in known:
            fitted = "the names under niqe (which has no model of that name), " if name == "niqe" else ""
            yield _not_one_of("encoders", name, known, fitted)


def _runs(params: Params) -> Iterator[Mistake]:
    free = [name for name in params.sets if not (name == EMBEDDED and EMBEDDED in params.databases)]
    for run, given in params.train.items():
        knobs = given.over(params.training)

        def key(knob: str, run: str = run, own: set[str] = given.model_fields_set) -> str:
            return f"train.{run}.{knob}" if knob in own else f"training.{knob}"

        if given.set not in params.sets:
            yield _not_one_of(f"train.{run}.set", given.set, [*params.sets], "sets: ")
        for knob in sorted({"depth", "width"} & given.model_fields_set) if given.encoder == RELEASED else ():
            text = "of no use beside encoder: released, whose it is"
            yield mistake(f"train.{run}.{knob}", getattr(given, knob), text, f"train.{run}.encoder")
        if knobs.authentic == "none" and knobs.authentic_set is not None:
            yield mistake(
                key("authentic_set"), knobs.authentic_set, "of no use while authentic is none", key("authentic")
            )
        elif knobs.authentic != "none" and knobs.authentic_set is None:
            yield mistake(key("authentic"), knobs.authentic, "needs authentic_set, which is null", key("authentic_set"))
        elif knobs.authentic != "none" and knobs.authentic_set not in free:
            what = "the sets that no database is made of: "
            yield _not_one_of(key("authentic_set"), str(knobs.authentic_set), free, what)
        if given.stream and knobs.authentic != "none":
            yield mistake(f"train.{run}.stream", given.stream, "of distorted images alone", key("authentic"))
        if knobs.authentic == "half" and knobs.batch % 2:
            yield mistake(key("batch"), knobs.batch, "odd, and half of it is to be authentic", key("authentic"))
        distorted = knobs.batch // (2 if knobs.authentic == "half" else 1)
        if knobs.class_balanced and distorted % knobs.images_per_class:
            text = f"{distorted} distorted images are no multiple of images_per_class, {knobs.images_per_class}"
            yield mistake(
                key("batch"), knobs.batch, text, *map(key, ("images_per_class", "class_balanced", "authentic"))
            )


def _joint_runs(params: Params) -> Iterator[Mistake]:
    for run, given in params.joint.items():
        knobs = given.over(params.joint_training)
        if given.set not in params.sets:
            yield _not_one_of(f"joint.{run}.set", given.set, [*params.sets], "sets: ")
        if run in params.encoders and given.database not in params.databases:
            yield _not_one_of(f"joint.{run}.database", given.database, [*params.databases], "databases: ")
        if given.set == given.database == EMBEDDED:
            text = f"the database {EMBEDDED} is made of the set {EMBEDDED}, so its test images would be trained on"
            yield mistake(f"joint.{run}.set", given.set, text)
        if knobs.class_balanced and knobs.batch % knobs.images_per_class:
            own = given.model_fields_set
            keys = [
                f"joint.{run}.{knob}" if knob in own else f"joint_training.{knob}"
                for knob in ("batch", "images_per_class", "class_balanced")
            ]
            text = f"no multiple of images_per_class, {knobs.images_per_class}"
            yield mistake(keys[0], knobs.batch, text, *keys[1:])


def _classifiers(params: Params, imported: Collection[str], calibrated: Collection[str]) -> Iterator[Mistake]:
    for run, given in params.classify.items():
        if given.set not in params.sets:
            yield _not_one_of(f"classify.{run}.set", given.set, [*params.sets], "sets: ")
        begun = [*params.train, *params.joint, RELEASED, RANDOM_INIT, *imported]
        if given.encoder not in begun:
            yield _not_one_of(f"classify.{run}.encoder", given.encoder, begun)
    for name, target in params.domains.items():
        classifiers = [*params.classify, CLASSIFIER, *(name for name in calibrated if name not in params.classify)]
        if target.classifier not in classifiers:
            yield _not_one_of(f"domains.{name}.classifier", target.classifier, classifiers, "classify: ")
        *made, of = Path(target.folder).parts[:3] or ("",)
        if made in (["data", "sources"], ["data", "distorted"]) and of not in params.sets:
            yield mistake(f"domains.{name}.folder", target.folder, f"made of the set {of}, which is not in sets")
    for name, greedy in params.greedy.items():
        featured = [encoder for encoder in params.encoders if not params.is_metric(encoder)]
        known = {"encoder": (featured, "encoders (no metric): "), "domains": ([*params.domains], "domains: ")}
        known |= dict.fromkeys(("source", "target"), ([*params.databases], "databases: "))
        for knob, (names, what) in known.items():
            if (value := getattr(greedy, knob)) not in names:
                yield _not_one_of(f"greedy.{name}.{knob}", value, names, what)
        if greedy.source == greedy.target:
            yield mistake(f"greedy.{name}.target", greedy.target, "the database that is trained on, too")


def _transfers(params: Params) -> Iterator[Mistake]:
    for run, given in params.transfer.items():
        known = {"domains": ([*params.domains], "domains: ")}
        known |= dict.fromkeys(("source", "target"), ([*params.databases], "databases: "))
        for knob, (names, what) in known.items():
            if (value := getattr(given, knob)) not in names:
                yield _not_one_of(f"transfer.{run}.{knob}", value, names, what)
        networks = [*params.train, *params.joint, *params.finetune, "released", "random_init"]
        networks += [name for name in params.encoders if name not in (*BASELINES, *params.niqe, *networks)]
        if given.encoder not in networks:
            yield _not_one_of(f"transfer.{run}.encoder", given.encoder, networks, "networks: ")
        if given.source == given.target:
            yield mistake(f"transfer.{run}.target", given.target, "the database that is trained on, too")


def _finetuned(params: Params) -> Iterator[Mistake]:
    """Of the runs under `encoders`: those that are not judged do not run either, and may name what is not there."""
    networks = [name for name in params.encoders if name not in BASELINES and name not in params.niqe]
    for run, given in params.finetune.items():
        if run not in params.encoders:
            continue
        if given.database not in params.databases:
            yield _not_one_of(f"finetune.{run}.database", given.database, [*params.databases], "databases: ")
        others = [name for name in networks if name != run]
        if given.encoder not in others:
            yield _not_one_of(f"finetune.{run}.encoder", given.encoder, others, "the other networks under `encoders`: ")


def _knobs(params: Params) -> Iterator[Mistake]:
    sources, probe, evaluate = params.sources, params.probe, params.evaluate
    for knob in ("palettes", "textures"):
        if getattr(sources, knob) == "folder" and getattr(params.run.paths, knob) is None:
            yield mistake(f"sources.{knob}", "folder", f"run.paths.{knob} names none", f"run.paths.{knob}")
    largest = sources.r_max or sources.size
    if sources.r_min >= largest:
        text = f"not below the largest radius, {largest:g}"
        yield mistake("sources.r_min", sources.r_min, text, "sources.r_max", "sources.size")
    if (params.train or params.joint or params.classify) and probe.sources >= sources.count:
        text = f"of {sources.count} sources (sources.count) that leaves none to train on"
        yield mistake("probe.sources", probe.sources, text, "sources.count")
    if probe.folds > probe.sources:
        text = f"above probe.sources, {probe.sources}"
        yield mistake("probe.folds", probe.folds, text, "probe.sources")
    if evaluate.lambda_min > evaluate.lambda_max:
        text = f"above evaluate.lambda_max, {evaluate.lambda_max:g}"
        yield mistake("evaluate.lambda_min", evaluate.lambda_min, text, "evaluate.lambda_max")
