"""The dataset card of a distorted set: what it says is so, and its examples load the set."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import artifacts
from pipeline.distortions import TYPES
from pipeline.report import dataset_card
from pipeline.shards.reader import ShardSet
from pipeline.sources import palettes
from tests.shards import stand_in

Run = Callable[..., tuple[int, str, str]]


def test_the_card_has_the_sets_hashes_and_its_examples_run(
    copy: Path, monkeypatch: pytest.MonkeyPatch, synthetic_iqa: Run
) -> None:
    code, out, err = synthetic_iqa("card", copy / "distorted")
    assert code == 0 and not err and out.startswith(f"{copy / 'distorted.md'}: ")
    text, shards = (copy / "distorted.md").read_text(), ShardSet(copy / "distorted")
    assert artifacts.sha256_file(copy / "distorted" / "manifest.json") in text
    for shard in shards.shards:
        assert f"| {shard.name} | {shard.samples} | {shard.bytes} | `{shard.sha256}` |" in text
        assert shard.sha256 == artifacts.sha256_file(copy / "distorted" / shard.name)
    head = yaml.safe_load(text.split("---")[1])
    assert head["size_categories"] == ["n<1K"] and "630 images: 5 " in text
    monkeypatch.chdir(copy / "distorted")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 3
    last = {key: index for index, key in enumerate(shards.keys)}[shards.keys[-1]]
    for example in examples:
        names: dict[str, object] = {}
        exec(example, names)
        if "label" in names:
            assert int(names["label"]) in range(126)  # type: ignore[call-overload]
        if "image" in names:
            np.testing.assert_array_equal(np.asarray(names["image"]), shards.image(last))


def test_the_card_lists_the_composites_and_says_nothing_of_them_where_there_are_none(copy: Path) -> None:
    plain = dataset_card.dataset_card(copy / "distorted")
    recipes = (((1, 5), (10, 2)), ((11, 3), (16, 1), (24, 2)))
    stand_in.distort_stage(copy / "sources", copy / "distorted", recipes=recipes)
    text = dataset_card.dataset_card(copy / "distorted")
    assert "composite" not in plain and "at 5 levels, and in 2 composites of these." in text
    first, second = (", ".join(f"{TYPES[kind - 1].name} {level}" for kind, level in recipe) for recipe in recipes)
    assert f"| 126 | {first} |\n| 127 | {second} |\n\n## Columns" in text and "Its type is 26 and" in text


def test_a_folder_that_is_no_distorted_set_is_refused_in_words(copy: Path, synthetic_iqa: Run) -> None:
    code, out, err = synthetic_iqa("card", copy / "sources")
    assert code == 2 and not out and f"{copy / 'sources'}: not a distorted set" in err


def test_the_licence_is_that_of_the_sources() -> None:
    embedded = [[photograph.name, photograph.sha256] for photograph in palettes.embedded()]
    of = {
        "photographs": {"kind": "photographs"},
        "drawn": {"kind": "dead_leaves", "palettes": "drawn", "textures": None},
        "embedded": {"kind": "dead_leaves", "palettes": embedded, "textures": None},
        "own": {"kind": "dead_leaves", "palettes": [["china", "00"]], "textures": None},
        "textures": {"kind": "textured_dead_leaves", "palettes": "drawn", "textures": "00"},
        "folder": {"kind": "folder", "files": []},
    }
    licences = {name: dataset_card.origin(recipe)[0] for name, recipe in of.items()}
    assert licences == {
        "photographs": "other",
        "drawn": "mit",
        "embedded": "cc-by-2.0",
        "own": "unknown",
        "textures": "unknown",
        "folder": "unknown",
    }
