"""Exact epochs: every sample once whatever the ranks and workers, and a resume at the exact sample."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import ArtifactError
from pipeline.shards.epochs import EpochError, Epochs
from pipeline.shards.loader import BatchReader, Crop, loader
from pipeline.shards.reader import ShardSet

RANKS = (1, 2, 4)
SEEDS = st.integers(0, 2**40)


@pytest.fixture(scope="session")
def shards(undisturbed: Path) -> ShardSet:
    return ShardSet(undisturbed / "distorted")


def of_ranks(epochs: Epochs, first: int, last: int, ranks: int) -> list[list[np.ndarray]]:
    """For each rank, its samples of each step."""
    found = [list(epochs.steps(first, last, rank, ranks)) for rank in range(ranks)]
    for steps in found:
        assert [step for step, _ in steps] == list(range(first, last))  # equally many for all
    return [[samples for _, samples in steps] for steps in found]


# --- exactness


@settings(max_examples=60)
@given(st.integers(1, 700), SEEDS, st.integers(0, 1000))
def test_an_epoch_is_an_exact_permutation(count: int, seed: int, epoch: int) -> None:
    order = Epochs(count, 1, seed).order(epoch)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, Epochs(count, count, seed).order(epoch))


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(Epochs(50, 1, seed).order(epoch).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


@settings(max_examples=80)
@given(st.integers(1, 300), st.integers(1, 12), st.sampled_from(RANKS), st.integers(0, 3), SEEDS)
def test_short_gives_every_sample_exactly_once(count: int, each: int, ranks: int, epoch: int, seed: int) -> None:
    epochs = Epochs(count, each * ranks, seed, last="short")
    assert epochs.in_epoch == -(-count // epochs.batch)
    parts = of_ranks(epochs, epoch * epochs.in_epoch, (epoch + 1) * epochs.in_epoch, ranks)
    seen = np.concatenate([samples for steps in parts for samples in steps])
    assert np.array_equal(np.sort(seen), np.arange(count))
    for step in zip(*parts, strict=True):
        sizes = [len(samples) for samples in step]
        assert max(sizes) - min(sizes) <= 1 and max(sizes) <= each


@settings(max_examples=80)
@given(st.integers(1, 300), st.integers(1, 12), st.sampled_from(RANKS), st.integers(0, 3), SEEDS)
def test_drop_leaves_less_than_a_batch(count: int, each: int, ranks: int, epoch: int, seed: int) -> None:
    if count < each * ranks:
        with pytest.raises(EpochError, match=f"batch: {each * ranks} is more than an epoch has"):
            Epochs(count, each * ranks, seed)
        return
    epochs = Epochs(count, each * ranks, seed)
    parts = of_ranks(epochs, epoch * epochs.in_epoch, (epoch + 1) * epochs.in_epoch, ranks)
    assert {len(samples) for steps in parts for samples in steps} == {each}
    seen = np.concatenate([samples for steps in parts for samples in steps])
    assert len(set(seen.tolist())) == len(seen) == count // epochs.batch * epochs.batch


@settings(max_examples=80)
@given(st.integers(1, 300), st.integers(1, 12), st.sampled_from(RANKS), st.integers(0, 3), SEEDS)
def test_repeat_fills_up_with_the_first(count: int, each: int, ranks: int, epoch: int, seed: int) -> None:
    epochs = Epochs(count, each * ranks, seed, last="repeat")
    parts = of_ranks(epochs, epoch * epochs.in_epoch, (epoch + 1) * epochs.in_epoch, ranks)
    assert {len(samples) for steps in parts for samples in steps} == {each}
    seen = np.concatenate([np.concatenate(step) for step in zip(*parts, strict=True)])
    assert np.array_equal(np.sort(seen[:count]), np.arange(count))
    assert np.array_equal(seen[count:], np.resize(seen[:count], len(seen) - count)) and len(seen) - count < epochs.batch


@settings(max_examples=40)
@given(st.integers(40, 200), st.sampled_from(RANKS), SEEDS)
def test_ranks_split_the_same_steps(count: int, ranks: int, seed: int) -> None:
    epochs = Epochs(count, 8, seed)
    alone = [samples.tolist() for _, samples in epochs.steps(3, 30)]
    assert [np.concatenate(step).tolist() for step in zip(*of_ranks(epochs, 3, 30, ranks), strict=True)] == alone


# --- balanced classes


@settings(max_examples=80)
@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 4), SEEDS, st.integers(0, 3))
def test_equal_classes_come_once_before_any_comes_again(
    classes: int, each: int, per_class: int, seed: int, epoch: int
) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(classes, dtype=np.int16), each * per_class))
    order = Epochs(len(labels), per_class, seed, per_class, labels).order(epoch)
    assert np.array_equal(np.sort(order), np.arange(len(labels)))
    groups = labels[order].reshape(-1, per_class)
    assert (groups == groups[:, :1]).all()
    rounds = groups[:, 0].reshape(each, classes)
    assert all(sorted(part) == list(range(classes)) for part in rounds.tolist())


@settings(max_examples=80)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 4), SEEDS)
def test_unequal_classes_are_spread_evenly(sizes: list[int], per_class: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    expected = sum(size // per_class * per_class for size in sizes)
    if not expected:
        with pytest.raises(EpochError, match="is more than an epoch has, 0 of"):
            Epochs(len(labels), per_class, seed, per_class, labels)
        return
    epochs = Epochs(len(labels), per_class, seed, per_class, labels, last="short")
    order = epochs.order(0)
    assert epochs.samples == len(order) == len(set(order.tolist())) == expected
    groups = labels[order].reshape(-1, per_class)
    assert (groups == groups[:, :1]).all()
    for label, size in enumerate(sizes):
        number, places = size // per_class, np.flatnonzero(groups[:, 0] == label)
        assert len(places) == number
        due = (np.arange(number) + 0.5) / max(number, 1) * len(groups)
        spread = len(groups) / max(number, 1) + len(sizes)  # a group's own interval, and one group of each class
        assert (np.abs(places - due) <= spread).all()


def test_a_batch_of_all_classes_has_each_as_often(shards: ShardSet) -> None:
    epochs = Epochs(len(shards), 126, 1, per_class=1, labels=shards.labels)
    for _, samples in epochs.steps(0, 3 * epochs.in_epoch):
        assert sorted(shards.labels[samples].tolist()) == list(range(126))


# --- what can't be


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 0}, "batch must be above 0"),
        ({"batch": 11}, "batch: 11 is more than an epoch has, 10 of 10 samples"),
        ({"batch": 4, "last": "pad"}, "last: 'pad' is not one of drop, repeat, short"),
        ({"batch": 4, "per_class": 3}, "per_class: 3 does not divide batch, 4"),
        ({"batch": 4, "per_class": 2}, "labels: one for each of 10 samples"),
        ({"batch": 4, "per_class": 2, "labels": np.zeros(9, int)}, "labels: one for each of 10 samples"),
    ],
)
def test_an_order_that_cannot_be_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(EpochError, match=message):
        Epochs(10, **{"seed": 0, **arguments})


@pytest.mark.parametrize(
    ("rank", "ranks", "first", "message"),
    [(2, 2, 0, "rank: 2 is not one of 2"), (0, 3, 0, "batch: 4 is not a multiple of 3"), (0, 1, -1, "first: step -1")],
)
def test_ranks_that_cannot_be_are_refused_at_the_call(rank: int, ranks: int, first: int, message: str) -> None:
    with pytest.raises(EpochError, match=message):
        Epochs(10, 4, 0).steps(first, 5, rank, ranks)


# --- the loader


def keys(batches: object) -> list[str]:
    return [key for batch in batches for key in batch["key"]]


@pytest.mark.parametrize("ranks", RANKS)
def test_a_reader_stopped_anywhere_goes_on_at_the_exact_sample(ranks: int, shards: ShardSet) -> None:
    """20 random points in two epochs, each step a sample a rank: keys of the stopped and of the resumed are those of
    a reader never stopped."""
    epochs = Epochs(len(shards), ranks, 5, last="short")
    end, data = 2 * epochs.in_epoch, BatchReader(shards, 5, Crop(8))
    for rank in range(ranks):
        never = keys(data[step] for step in epochs.steps(0, end, rank, ranks))
        if ranks == 1:
            assert Counter(never) == Counter(2 * shards.keys)
        for stop in np.random.default_rng(rank).integers(0, end + 1, 20).tolist():
            before = [samples for _, samples in epochs.steps(0, stop, rank, ranks)]
            done = sum(map(len, before))
            again = pickle.loads(pickle.dumps(epochs))  # what another process has: the arguments and the step
            after = [shards.key(int(i)) for _, samples in again.steps(stop, end, rank, ranks) for i in samples]
            assert [shards.key(int(i)) for samples in before for i in samples] == never[:done]
            assert after == never[done:]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ranks", RANKS)
def test_a_stopped_loader_goes_on_at_the_exact_batch(ranks: int, workers: int, shards: ShardSet) -> None:
    """20 random points, the ranks in turn: the loader is left in the middle and another started from its state."""
    epochs = Epochs(len(shards), 8 * ranks, 9, last="short")
    end = epochs.in_epoch + epochs.in_epoch // 4
    stops = np.random.default_rng(ranks).integers(1, end, 20).tolist()
    for rank in range(ranks):
        options = {"last": end, "rank": rank, "ranks": ranks, "transform": Crop(8)}
        never = list(loader(shards, epochs, **options))
        for stop in stops[rank::ranks]:
            before, stopped = [], loader(shards, epochs, workers=workers, **options)
            for batch in stopped:
                before.append(batch)
                if len(before) == stop:
                    break
            resumed = loader(shards, epochs, first=before[-1]["step"] + 1, workers=workers, **options)
            after = list(resumed)
            assert len(after) == end - stop
            assert keys(before + after) == keys(never)
            for one, other in zip(before + after, never, strict=True):
                assert one["step"] == other["step"] and np.array_equal(one["image"], other["image"])


@pytest.mark.parametrize("ranks", RANKS)
def test_the_loaders_of_all_ranks_give_an_epoch_once(ranks: int, shards: ShardSet) -> None:
    epochs = Epochs(len(shards), 4 * ranks, 2, last="short")
    seen = [loader(shards, epochs, rank=rank, ranks=ranks, workers=2, transform=Crop(4)) for rank in range(ranks)]
    assert Counter(key for batches in seen for key in keys(batches)) == Counter(shards.keys)


def test_a_batch_is_what_the_shards_hold(shards: ShardSet) -> None:
    tall = np.flatnonzero(shards.shapes[:, 0] == 18)
    first = next(loader(shards, Epochs(len(shards), 1, 3)))
    assert first["image"].dtype == np.uint8 and first["label"].dtype == first["index"].dtype == np.int64
    for _, samples in Epochs(len(shards), 16, 3).steps(0, 3):
        with pytest.raises(ArtifactError, match="images of several sizes in a batch: give a transform"):
            BatchReader(shards, 0)[0, samples]
    batch = BatchReader(shards, 0)[7, tall[:5]]
    assert batch["step"] == 7 and batch["key"] == [shards.keys[i] for i in tall[:5]]
    assert np.array_equal(batch["image"], np.stack([shards.image(int(i)) for i in tall[:5]]))
    assert np.array_equal(batch["label"], shards.labels[tall[:5]])
    assert batch["image"].shape == (5, 18, 16, 3)


def test_sources_have_no_label(undisturbed: Path) -> None:
    sources = ShardSet(undisturbed / "sources")
    batch = BatchReader(sources, 0, Crop(16))[0, np.arange(2)]
    assert set(batch) == {"step", "index", "key", "image"} and batch["key"] == ["000000", "000001"]


def test_a_crop_depends_on_step_and_sample_alone(shards: ShardSet) -> None:
    data = BatchReader(shards, 1, Crop(8))
    together, alone = data[4, np.array([9, 8, 7])]["image"], data[4, np.array([7])]["image"]
    assert np.array_equal(together[2], alone[0])
    assert not np.array_equal(data[5, np.array([7])]["image"], alone)
    places = {Crop(8)(shards.image(0), np.random.default_rng(i)).tobytes() for i in range(200)}
    height, width = shards.shapes[0]
    assert 0.8 * (height - 7) * (width - 7) < len(places) <= (height - 7) * (width - 7)
    moved = pickle.loads(pickle.dumps(data))  # to a worker that is spawned
    assert np.array_equal(moved[4, np.array([7])]["image"], alone)
    with pytest.raises(ArtifactError, match="crop: 17 is more than an image has"):
        Crop(17)(shards.image(0), np.random.default_rng(0))


def test_a_loader_refuses_what_does_not_fit_at_once(shards: ShardSet) -> None:
    with pytest.raises(ArtifactError, match="630 samples, the epochs are of 629"):
        loader(shards, Epochs(629, 4, 0))
    with pytest.raises(EpochError, match="batch: 4 is not a multiple of 3 ranks"):
        loader(shards, Epochs(630, 4, 0), ranks=3)


def test_torchs_loader_reads_the_same_in_worker_processes(shards: ShardSet) -> None:
    from torch.utils.data import DataLoader

    epochs = Epochs(len(shards), 16, 3)
    ours = loader(shards, epochs, transform=Crop(8), last=4)
    theirs = DataLoader(
        BatchReader(shards, epochs.seed, Crop(8)), sampler=list(epochs.steps(0, 4)), batch_size=None, num_workers=1
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one["key"] == other["key"] and np.array_equal(one["image"], other["image"])


def test_damage_in_a_worker_is_an_error_of_the_loader(copy: Path) -> None:
    path = copy / "distorted" / "distorted-00003.tar"
    whole = bytearray(path.read_bytes())
    shards = ShardSet(copy / "distorted")
    index = next(i for i, name in enumerate(shards.table["shard"].to_pylist()) if name == path.name)
    whole[int(shards.table["offset"][index].as_py()) + 20] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ArtifactError, match=f"distorted-00003.tar: sample {shards.keys[index]} is damaged"):
        list(loader(shards, Epochs(len(shards), 10, 0), workers=2, transform=Crop(4)))
