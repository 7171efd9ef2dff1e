"""``synthetic-iqa calibrate``: a classifier of the types, its outputs fitted to photographs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import refuse, say
from pipeline.cli.domains import classifier_folder


def calibrate(
    photographs: Annotated[Path, typer.Argument(help="A folder of good photographs; some 30 are enough.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new classifier's folder, such as data/models/mine.")],
    classifier: Annotated[
        str | None,
        typer.Option(help="A run under `classify`, or a folder of one. Default: the released one, else types."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the random distortions.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing classifier.")] = False,
) -> None:
    """Fit a temperature and a bias for each output on photographs distorted in all classes, and write the classifier.

    A file that can't be read is named and left out; the exit code is then 1.
    """
    import numpy as np
    import torch

    from pipeline import distortions, images
    from pipeline.artifacts import fingerprint
    from pipeline.devices import cores, resolve_device
    from pipeline.engine import Engine
    from pipeline.training.methods.classifier import load_classifier, save_calibrated
    from pipeline.training.temperature_scaling import Photograph, Shown, fit_scaling, show

    _, place = classifier_folder(classifier)
    _check_out(out, place, force)
    if not photographs.exists():
        refuse(f"{photographs}: missing")
    listing = images.list_images([photographs])
    kind = resolve_device(device).kind
    model = load_classifier(place, torch.device(kind))
    tasks = [Photograph(model, path, index, seed) for index, path in enumerate(listing.files)]
    engine = Engine("processes", cores()) if kind == "cpu" else Engine()
    if len(tasks) > 1:
        distortions.compile_kernels()  # once, or every worker compiles
    answers = engine.map(show, tasks, describe="calibrate")
    shown = [answer for answer in answers if isinstance(answer, Shown)]
    failed = {str(task): answer for task, answer in zip(tasks, answers, strict=True) if isinstance(answer, str)}
    failed |= {str(path): why for path, why in listing.failed.items()}
    for path, why in failed.items():
        say(f"{path}: {why}")
    if not shown:
        refuse(f"{photographs}: no photograph to calibrate on")
    logits = np.concatenate([one.logits for one in shown])  # [images, crops, outputs]
    outputs = np.repeat(np.concatenate([one.outputs for one in shown]), logits.shape[1])
    scaling = fit_scaling(logits.reshape(len(outputs), -1), outputs)
    calibration = {
        "photographs": len(shown),
        "images": len(logits),
        "sha256": fingerprint({"pixels": [one.sha256 for one in shown]}),
        "seed": seed,
        "temperature": scaling.temperature,
        "bias": scaling.bias.tolist(),
    }
    scaling.fold(model.network)
    save_calibrated(place, out, model.network, calibration)
    told = f"temperature {scaling.temperature:.2f}, cross-entropy {scaling.before:.2f} to {scaling.after:.2f}"
    print(f"{out}: {told} on {len(shown)} photographs in {len(logits) // len(shown)} classes")
    raise typer.Exit(1 if failed else 0)


def _check_out(out: Path, classifier: Path, force: bool) -> None:
    """Refuse an ``out`` that is no name, no folder, the classifier itself, or another encoder's."""
    from pipeline.training.methods.classifier import HEAD

    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", out.name):
        refuse(f"{out}: its last part is the classifier's name: a-z, 0-9 and _")
    if out.exists() and out.samefile(classifier):
        refuse(f"{out}: is the classifier itself; give it another name")
    if out.exists() and not out.is_dir():
        refuse(f"{out}: not a folder")
    if (out / "encoder.json").exists():
        if not (out / HEAD).exists():
            refuse(f"{out}: an encoder is there, and no classifier; give it another name")
        if not force:
            refuse(f"{out}: a classifier is there already; --force replaces it")
