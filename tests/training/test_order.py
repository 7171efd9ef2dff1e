"""The order of training, and the batches that are made ahead."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_in import TINY, StandIn, job

from pipeline.labels import IDENTICAL_TO_PRISTINE
from pipeline.params import ParamsError
from pipeline.shards.epochs import Epochs
from pipeline.shards.loader import Prefetch
from pipeline.training.labels import class_labels, positive_weights
from pipeline.training.methods.contrastive import Contrastive, batch_order

BALANCED = TINY.model_copy(update={"batch": 12, "class_balanced": True, "images_per_class": 3})
PLAIN = [
    [0, 34, 21, 38, 5, 32, 26, 2],
    [33, 29, 22, 12, 4, 30, 28, 39],
    [3, 39, 34, 4, 27, 17, 32, 7],
    [26, 14, 31, 37, 0, 13, 19, 22],
]
GROUPS = [[9, 57, 3, 10, 34, 16, 17, 23, 5, 15, 33, 45], [30, 54, 42, 21, 39, 45, 50, 14, 26, 56, 32, 20]]


def epoch(order: Epochs, number: int) -> np.ndarray:
    first = number * order.in_epoch
    return np.concatenate([samples for _, samples in order.steps(first, first + order.in_epoch)])


def test_balanced_batches_hold_groups_of_a_class() -> None:
    labels = np.arange(60) % 6
    order = batch_order(labels, BALANCED, 1)
    assert isinstance(order, Epochs)
    assert order.in_epoch == 4  # 10 images of a class make 3 groups of 3: 18 groups, 54 images
    seen = epoch(order, 0)
    assert len(set(seen)) == len(seen)
    for group in seen.reshape(-1, 3):
        assert len(set(labels[group])) == 1
    assert set(seen) != set(epoch(order, 1))  # what is left over changes


def test_the_order_of_training_is_kept() -> None:
    """The first steps, as golden figures: a change of them changes every encoder."""
    plain = [samples.tolist() for _, samples in batch_order(np.arange(40) % 5, TINY, 1).steps(3, 7)]
    assert plain == PLAIN
    groups = [samples.tolist() for _, samples in batch_order(np.arange(60) % 6, BALANCED, 1).steps(3, 5)]
    assert groups == GROUPS


def test_impossible_batches_are_refused_by_name() -> None:
    labels = np.zeros(60, np.int64)
    with pytest.raises(ParamsError, match=r"training.images_per_class: 5 does not divide the 12 images of a step"):
        batch_order(labels, BALANCED.model_copy(update={"images_per_class": 5}), 1)
    with pytest.raises(ParamsError, match=r"training.batch: 64 is more than an epoch has, 60 of 60 samples"):
        batch_order(labels, TINY.model_copy(update={"batch": 64}), 1)


def test_identical_classes_join_the_pristine_one_when_asked() -> None:
    labels = np.arange(126, dtype=np.int16)
    assert np.array_equal(class_labels(labels, False), labels)
    merged = class_labels(labels, True)
    assert IDENTICAL_TO_PRISTINE == (1, 11, 36, 88) and (merged == 0).sum() == 5 and len(np.unique(merged)) == 122


def method(folder: Path, images: StandIn, **options: object) -> Contrastive:
    run, make = job(folder, images, **options)
    made = make(run, torch.device("cpu"))
    made.prepare(1)
    return made


def test_ranks_and_readers_cut_the_same_batches(tmp_path: Path) -> None:
    batches = list(method(tmp_path, StandIn()).batches(0, 6, 0, 1))
    assert [batch.step for batch in batches] == list(range(6))
    for rank in range(2):
        part = method(tmp_path, StandIn(), readers=3, cache="none").batches(0, 6, rank, 2)
        for batch, expected in zip(part, batches, strict=True):
            rows = slice(4 * rank, 4 * rank + 4)
            assert (batch.full == expected.full[rows]).all() and (batch.half == expected.half[rows]).all()
            assert (batch.labels == expected.labels[rows]).all() and batch.names == expected.names
            assert (batch.draws.spaces == expected.draws.spaces[:, rows]).all()


def test_kept_images_are_decoded_once(tmp_path: Path) -> None:
    images = StandIn()
    assert len(list(method(tmp_path, images).batches(0, 6, 0, 1))) == 6
    assert images.read == len(images)
    list(method(tmp_path, images, cache="none").batches(0, 6, 0, 1))
    assert images.read == len(images) + 48


def test_an_error_of_the_thread_reaches_the_item_that_was_due() -> None:
    def items():  # noqa: ANN202
        yield 1
        raise OSError("sample 000003-007 is damaged")

    with Prefetch(items()) as ahead, pytest.raises(OSError, match="is damaged"):
        assert [item for item in ahead] == [1]


def test_a_prefetch_that_is_left_early_ends_its_thread() -> None:
    before, closed = set(threading.enumerate()), []

    def items():  # noqa: ANN202
        try:
            yield from range(500)
        finally:
            closed.append(True)

    with Prefetch(items()) as early:
        assert next(iter(early)) == 0
    assert set(threading.enumerate()) <= before and closed == [True]
    with Prefetch(range(5)) as whole:
        assert list(whole) == list(range(5))


def test_neighbours_are_the_next_levels_of_a_type() -> None:
    assert positive_weights(0.0) is None
    near = positive_weights(0.25)
    assert near is not None and (near == near.T).all() and near.shape == (126, 126)
    for one in range(126):
        for two in range(126):
            same_type = one > 0 and two > 0 and (one - 1) // 5 == (two - 1) // 5
            expected = 1.0 if one == two else 0.25 if same_type and abs(one - two) == 1 else 0.0
            assert near[one, two] == expected, (one, two)
