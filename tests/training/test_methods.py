"""What the loop does for any method: parameter groups, validation, plateau and early stopping, all of it resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.devices import Device
from pipeline.seeding import generator
from pipeline.shards.epochs import Epochs, part
from pipeline.training import checkpoint
from pipeline.training.loop import Method, Plateau, Run, TrainingError, train

INPUTS = torch.randn(24, 5, generator=torch.Generator().manual_seed(1))
TARGETS = INPUTS.sum(1)


@dataclass(frozen=True)
class Rows:
    step: int
    names: Sequence[str]
    inputs: Tensor
    targets: Tensor


class Regression(Method[Rows]):
    """A trunk and a head, each in its own parameter group, on rows of a table."""

    columns = {"error": "mean absolute error of the step", "validation": "a figure of the network's"}

    def __init__(
        self, run: Run, device: torch.device, *, figures: Sequence[float] = (), seed: int = 3, **plateau: Any
    ) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 1))
        self.order, self.seed = Epochs(len(INPUTS), 8, seed), seed
        self.steps_in_epoch, self.steps, self.views = 3, 18, 8
        self.validate_every = 3 if figures else 0
        self.plateau = Plateau("validation", **plateau) if plateau else None
        self.figures = iter(figures) if figures else None

    def fingerprint(self) -> Mapping[str, object]:
        return {"seed": self.seed}

    def prepare(self, ranks: int) -> str:
        return "rows in memory"

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[Rows]:
        for step, samples in self.order.steps(first, last):
            noise = torch.from_numpy(generator(self.seed, "noise", step).normal(size=len(samples)).astype(np.float32))
            mine = part(len(samples), rank, ranks)
            rows = samples[mine]
            yield Rows(step, [str(row) for row in samples], INPUTS[rows], TARGETS[rows] + 0.1 * noise[mine])

    def loss(self, batch: Rows) -> Mapping[str, Tensor]:
        error = self.network(batch.inputs)[:, 0] - batch.targets
        return {"loss": error.square().mean(), "error": error.abs().mean()}

    def optimiser(self) -> torch.optim.Adam:
        return torch.optim.Adam([{"params": layer.parameters()} for layer in self.network])

    def rates(self, step: int) -> Sequence[float]:
        return (0.0 if step < 6 else 0.01), 0.05  # the head alone, then both

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        weight = float(next(network.parameters()).detach().sum())
        return {"validation": next(self.figures, weight) if self.figures else weight}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), folder / "network.safetensors")


def job(folder: Path, ranks: int = 1, every: int = 1, **options: Any) -> tuple[Run, Callable[..., Regression]]:
    places = {"out": folder / "out", "checkpoints": folder / "checkpoints"}
    run = Run(name="rows", device=Device("cpu", ranks), threads=1, checkpoint_every=every, **places)
    return run, partial(Regression, **options)


def history(folder: Path) -> dict[str, list[Any]]:
    return pq.read_table(folder / "out" / "history.parquet").to_pydict()


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "out" / "network.safetensors")


def test_each_parameter_group_has_its_own_rate(tmp_path: Path) -> None:
    run, make = job(tmp_path)
    start = {key: value.clone() for key, value in make(run, torch.device("cpu")).network.state_dict().items()}
    saved: list[dict[str, Tensor]] = []
    save = checkpoint.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            checkpoint,
            "save",
            lambda *a, **k: (saved.append({n: v.clone() for n, v in a[1]["network"].items()}), save(*a, **k)),
        )
        train(run, make)
    assert torch.equal(saved[5]["0.weight"], start["0.weight"]) and not torch.equal(
        saved[5]["1.weight"], start["1.weight"]
    )
    assert not torch.equal(saved[-1]["0.weight"], start["0.weight"])
    assert history(tmp_path)["learning_rate"] == [0.0] * 6 + [0.01] * 12
    assert history(tmp_path)["error"][-1] < history(tmp_path)["error"][0]


def test_a_plateau_lowers_all_rates_and_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = [5.0, 4.0, 4.0, 4.1, 4.2]
    train(*job(tmp_path, figures=figures, patience=2, factor=0.5, stop_after=3))
    table = history(tmp_path)
    assert table["step"] == list(range(15))  # three validations without a better one
    assert [value for value in table["validation"] if value is not None] == figures
    assert table["learning_rate"][6:] == [0.01] * 6 + [0.005] * 3
    assert "after step 15: validation 4.2" in capsys.readouterr().err


@pytest.mark.parametrize("moment", [4, 9, 12, 15])
def test_the_plateaus_state_is_resumed(tmp_path: Path, moment: int) -> None:
    options = {"figures": [5.0, 4.0, 4.0, 4.1, 4.2], "patience": 2, "factor": 0.5, "stop_after": 3}
    train(*job(tmp_path / "whole", **options))
    save = checkpoint.save

    def stop(*args: Any, step: int, **more: Any) -> None:
        save(*args, step=step, **more)
        if step == moment:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", stop)
        train(*job(tmp_path / "broken", **options))
    left = {**options, "figures": options["figures"][moment // 3 :] or [9.9]}
    train(*job(tmp_path / "broken", **left))
    one, other = (history(tmp_path / name) for name in ("whole", "broken"))
    assert {**one, "crops_per_s": 0, "waiting": 0} == {**other, "crops_per_s": 0, "waiting": 0}
    for key, value in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "broken")[key], value)


def test_ranks_end_together_and_learn_what_one_does(tmp_path: Path) -> None:
    options = {"figures": [5.0, 4.0, 4.0, 4.1, 4.2], "patience": 2, "factor": 0.5, "stop_after": 3}
    train(*job(tmp_path / "one", **options))
    train(*job(tmp_path / "two", ranks=2, **options))
    one, two = (history(tmp_path / name) for name in ("one", "two"))
    assert one["step"] == two["step"] and one["validation"] == two["validation"]
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-4) and one["error"] == pytest.approx(two["error"], rel=1e-4)
    for key, value in weights(tmp_path / "one").items():
        assert torch.allclose(weights(tmp_path / "two")[key], value, atol=1e-5)


def test_a_column_without_a_description_is_an_error(tmp_path: Path) -> None:
    run, make = job(tmp_path)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError, match="columns without a description: error"):
        patch.setattr(Regression, "columns", {})
        train(run, make)


def test_a_loss_that_is_no_number_names_the_rows(tmp_path: Path) -> None:
    run, make = job(tmp_path)
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(TrainingError, match="loss nan at step 0, .*images [0-9]"),
    ):
        patch.setattr(Regression, "loss", lambda self, batch: {"loss": self.network(batch.inputs).sum() * torch.nan})
        train(run, make)
