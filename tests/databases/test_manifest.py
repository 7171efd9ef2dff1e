"""Manifests: every one of ours is sound; what is not known, missing or contradictory is refused by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.databases import ManifestError, class_means, load_manifest, manifest_names

OWN = """
name: mine
title: my pictures
citation: none
kind: folder
higher_is_better: false
range: [0, 100]
scores: {file: scores.csv, image: path, mos: score, group: group}
images: {folder: ., extensions: [.png]}
group: {kind: column}
"""


@pytest.mark.parametrize("name", manifest_names())
def test_ours_are_sound(name: str) -> None:
    manifest = load_manifest(name)
    assert manifest.citation and manifest.title


def test_the_directions_are_declared() -> None:
    assert load_manifest("kadid10k").higher_is_better  # though its column is called dmos
    assert load_manifest("photos").protocol == "leave_one_group_out"
    assert load_manifest("biq2021").stratified and load_manifest("biq2021").official_shares_groups


def test_class_means_are_those_of_kadid() -> None:
    means = class_means()
    assert len(means) == 125
    assert means[1, 1][0] == pytest.approx(4.6122)
    assert all(1 <= mean <= 5 for mean, _ in means.values())


def test_own_manifest_lies_with_the_images(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no manifest of that name .*kadid10k"):
        load_manifest("mine", tmp_path)
    (tmp_path / "database.yaml").write_text(OWN)
    assert load_manifest("mine", tmp_path).scores.mos == "score"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: my pictures", "titel: x", "titel: Extra inputs"),
        ("name: mine", "name: other", "name is 'other', expected 'mine'"),
        ("range: [0, 100]", "range: [100, 0]", "range: 100.0 is not below 0.0"),
        (", group: group", "", "group.kind column"),
        ("{kind: column}", "{kind: reference}", "group.kind reference"),
        ("{kind: column}", "{kind: block, size: 5}", "a block needs"),
        ("{kind: column}", "{kind: block, size: 5, pattern: '('}", "not a regular expression"),
        ("{kind: column}", "{kind: source}", "for members"),
        ("higher_is_better: false", "", "higher_is_better: Field required"),
        ("kind: folder", "kind: members", "kind members needs class_means"),
        ("range: [0, 100]", "range: [0, 100]\nstratum: column", "stratum column"),
        ("range: [0, 100]", "range: [0, 100]\nstratum: type", "stratum type"),
        ("range: [0, 100]", "range: [0, 100]\nstratum: subset", "stratum subset"),
        ("range: [0, 100]", "range: [0, 100]\nraters: 20", "raters"),
        ("range: [0, 100]", "range: [0, 100]\nshort_side: 0", "short_side: Input should be greater"),
        ("range: [0, 100]", "range: [0, 100]\nprotocol: official", "protocol official"),
        ("citation: none", "duplicates: refuse", "take `duplicates` away: equal images always share a group"),
        ("[.png]}", "[.png], ignore_case: true}", "images: take `ignore_case` away: names always meet"),
        ("name: mine", "name: [", "not valid YAML"),
        ("range: [0, 100]", "range: [0, .inf]", "range.1: Input should be a finite number"),
        ("range: [0, 100]", "range: [0, 100]\ntype_level: '(\\w)'", "type_level: the column, pattern or named group"),
        ("range: [0, 100]", "range: [0, 100]\nreference_pattern: '(\\w)'", "reference_pattern: the column, pattern or"),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    (tmp_path / "database.yaml").write_text(OWN.replace(old, new))
    with pytest.raises(ManifestError) as refused:
        load_manifest("mine", tmp_path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
