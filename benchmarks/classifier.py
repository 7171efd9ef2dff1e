"""What a classifier of the 25 types knows: of drawn images that it has not seen, of photographs, and of single types.

    python -m benchmarks.classifier [--json] [--classifier released/classifier] [--params FILE]
        [--sources 16] [--seed 1000]

Textured dead leaves are drawn anew by the classifier's own law (section ``sources`` of ``--params``), from a seed that
no training used (``--seed``); each image is distorted in its 125 classes. The five packaged photographs are distorted
in the same way; no classifier was trained on a photograph. Chance is 0.04. Four of the 125 classes equal the pristine
image, and no one can see their type: their share is printed.
Then each type in turn makes a target of its own, 25 images of the photographs in that type alone, and the type of the
highest mean probability should be it; the misses are named with what the confusion matrix says of them. About two
minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
import torch

from pipeline import distortions, sources
from pipeline.domains import Outputs, similarity
from pipeline.engine import progress
from pipeline.labels import LEVELS, TYPES
from pipeline.params import load
from pipeline.params.sections import SourcesParams
from pipeline.seeding import generator
from pipeline.training.confusion import confusion
from pipeline.training.methods.classifier import TypeLogits, load_classifier

NAMES = [kind.name for kind in distortions.TYPES]


def distorted(name: str, law: SourcesParams, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Label 1..125 and image of every source of a set."""
    drawn = sources.source_set(name, law, seed=seed)
    for index in range(drawn.count):
        image, _ = drawn.make(index)
        for sample in distortions.distort_all(image, generator(seed, f"benchmarks/classifier/{name}", index)):
            if sample.label:
                yield sample.label, sample.image


def answers(classifier: TypeLogits, name: str, law: SourcesParams, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 [n] and the logits of five crops of each image, float32 [n, 5, 25 or 26]."""
    count = sources.source_set(name, law, seed=seed).count
    shown = progress(distorted(name, law, seed), total=count * TYPES * LEVELS, describe=name)
    labels, logits = zip(*((label, classifier.of_image(image)) for label, image in shown), strict=True)
    return np.array(labels), np.stack(logits)


def single_types(labels: np.ndarray, logits: np.ndarray) -> list[int]:
    """For each type 1..25, the type that a target of its images alone resembles most."""
    most = []
    for number in range(1, TYPES + 1):
        mine = logits[(labels - 1) // LEVELS + 1 == number]
        most.append(max(similarity(Outputs.of(mine), seed=1, resamples=1), key=lambda s: s.mean_prob).domain)
    return most


def main() -> None:
    """Run, print tables and, with ``--json``, one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--classifier", type=Path, default=Path("released/classifier"))
    parser.add_argument("--params", type=Path, default=Path("released/classifier/params.yaml"))
    parser.add_argument("--sources", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classifier, start = load_classifier(arguments.classifier, torch.device("cpu")), process_time()
    told, by_set = {}, {}
    law = load(arguments.params).sources.model_copy(update={"count": arguments.sources})
    for name in ("textured_dead_leaves", "photos"):
        labels, logits = answers(classifier, name, law, arguments.seed)
        predicted = logits.mean(axis=1)[:, -TYPES:].argmax(axis=1) + 1
        by_set[name] = confusion(labels, predicted)
        told |= {f"top1_{name}": by_set[name]["accuracy"], f"invisible_{name}": by_set[name]["invisible"]}
    most = single_types(labels, logits)
    right = sum(number == answer for number, answer in enumerate(most, 1))
    told |= {"single_types_right": right, "cpu_seconds": process_time() - start}

    print(f"{arguments.classifier}: top-1 of the type (chance 0.04)")
    print(f"  {'':<31}{'textured dead leaves':>22}{'photos':>10}{'  a target of this type alone is most like':<44}")
    for number, name in enumerate(NAMES, 1):
        cells = "".join(f"{by_set[s]['by_type'][str(number)]:>{w}.3f}" for s, w in zip(by_set, (22, 10), strict=True))
        answer, row = most[number - 1], np.array(by_set["photos"]["matrix"][number - 1])
        shares = (
            f"named for {row[answer - 1] / row.sum():.0%} of its images, itself for {row[number - 1] / row.sum():.0%}"
        )
        print(f"  {number:>2} {name:<28}{cells}  {'itself' if answer == number else f'{NAMES[answer - 1]}: {shares}'}")
    for level in range(1, LEVELS + 1):
        cells = "".join(f"{by_set[s]['by_level'][str(level)]:>{w}.3f}" for s, w in zip(by_set, (22, 10), strict=True))
        print(f"  level {level:<25}{cells}")
    for key, value in told.items():
        print(f"  {key:<36} {value:.4g}")
    if arguments.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
