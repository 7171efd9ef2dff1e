"""params.yaml: what is unknown, of the wrong type or impossible is refused in one line that names key and value."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from pipeline.params import Params, ParamsError, load

ROOT = Path(__file__).parents[1]
MINIMAL = """
seed: 1
sets: [dead_leaves, photos]
trained: [dead_leaves]
untrained: [random_init, floor]
encoders: [dead_leaves, floor]
probed: [dead_leaves, floor]
embedded: [photos]
ingested: []
databases: [photos]
regressors: [dead_leaves]
sources: {}
statistics: {}
distort: {}
train: {}
niqe: {}
probe: {}
ingest: {}
features: {}
evaluate: {}
report: {}
run: {}
"""


def written(folder: Path, **changes: object) -> Path:
    """The minimal file with ``section__key=value`` put in."""
    content = yaml.safe_load(MINIMAL)
    for name, value in changes.items():
        *place, key = name.split("__")
        target = content
        for part in place:
            target = target.setdefault(part, {})
        target[key] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ParamsError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / name / "params.yaml" for name in (".", "released")),
        *sorted((ROOT / "manifests/profiles").glob("*.yaml")),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_profile_is_valid(path: Path) -> None:
    assert isinstance(load(path), Params)


def test_the_minimal_file_has_the_defaults(tmp_path: Path) -> None:
    loaded = load(written(tmp_path))
    assert loaded.sources.count == 48 and loaded.run.engine == "ray" and loaded.run.paths.sets == {}


def test_the_released_encoder_needs_no_training(tmp_path: Path) -> None:
    names = ["released"]
    assert load(written(tmp_path, encoders=names, probed=names, regressors=names)).encoders == names


def test_parameters_cannot_be_changed(tmp_path: Path) -> None:
    loaded = load(written(tmp_path))
    with pytest.raises(ValidationError, match="frozen"):
        loaded.sources.count = 3  # type: ignore[misc]


def sections(model: type[BaseModel] = Params) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += sections(field.annotation)
    return found


def test_every_section_is_frozen_strict_and_forbids_what_it_does_not_know() -> None:
    assert len(sections()) >= 10
    for model in sections():
        config = model.model_config
        assert (config["frozen"], config["strict"], config["extra"]) == (True, True, "forbid"), model


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sources__cuont": 3}, "sources.cuont: unknown key; allowed here: alpha, codec, count, "),
        ({"sedd": 3}, "sedd: unknown key; allowed here: databases, distort, "),
        ({"run__paths__textuers": "x"}, "run.paths.textuers: unknown key; allowed here: databases, exclude_ids, "),
        ({"sources__count": 0}, "sources.count = 0: input should be greater than or equal to 1"),
        ({"sources__count": "48"}, 'sources.count = "48": input should be a valid integer'),
        ({"sources__count": 48.5}, "sources.count = 48.5: input should be a valid integer"),
        ({"sources__count": True}, "sources.count = true: input should be a valid integer"),
        ({"sources__count": None}, "sources.count = null: input should be a valid integer"),
        ({"sources__alpha": 1.5}, "sources.alpha = 1.5: input should be less than or equal to 1"),
        ({"sources__alpha": float("nan")}, "sources.alpha = NaN: input should be"),
        ({"sources__exponent": float("inf")}, "sources.exponent = Infinity: input should be a finite number"),
        ({"sources__codec": "jpeg"}, "sources.codec = \"jpeg\": input should be 'qoi', 'png', 'webp' or 'jxl'"),
        ({"sources": [1]}, "sources = [1]: input should be an object"),
        ({"sources": None}, "sources = null: input should be an object"),
        ({"seed": -1}, "seed = -1: input should be greater than or equal to 0"),
        ({"sets": []}, "sets = []: list should have at least 1 item"),
        ({"sets": "photos"}, 'sets = "photos": input should be a valid array'),
        ({"sets": ["photos", "Dead Leaves"]}, 'sets.1 = "Dead Leaves": string should match pattern'),
        ({"sets": ["../x"]}, 'sets.0 = "../x": string should match pattern'),
        ({"run__paths__sets": {"A B": "x"}}, 'run.paths.sets.A B = "A B": string should match pattern'),
        ({"run__engine": "slurm"}, "run.engine = \"slurm\": input should be 'serial', 'processes' or 'ray'"),
        ({"run__workers": 0}, "run.workers = 0: input should be greater than or equal to 1"),
        ({"trained": ["photoss"]}, "trained: 'photoss' is not one of dead_leaves, photos"),
        ({"encoders": ["floor", "danbooru"]}, "encoders: 'danbooru' is not one of dead_leaves, random_init, floor"),
        ({"regressors": ["random_init"]}, "regressors: 'random_init' is not one of dead_leaves, floor"),
        ({"databases": ["koniq10k"]}, "databases: 'koniq10k' is not one of photos"),
        ({"ingested": ["koniq10k"]}, "ingested: 'koniq10k' is not one of none (run.paths is empty)"),
        ({"sets": ["dead_leaves", "photos", "cats"]}, "sets: 'cats' is neither dead_leaves, textured_dead_leaves, "),
        ({"sets": ["dead_leaves", "photos", "photos"]}, "sets: 'photos' is named twice"),
        ({"encoders": ["floor", "floor"]}, "encoders: 'floor' is named twice"),
        (
            {"untrained": ["lpips"]},
            "untrained.0 = \"lpips\": input should be 'random_init', 'floor', ",
        ),
        ({"probed": ["danbooru"]}, "probed: 'danbooru' is not one of dead_leaves, floor"),
        ({"untrained": ["floor", "niqe"]}, "niqe.set: 'textured_dead_leaves' is not one of sets, dead_leaves, photos"),
        ({"niqe__side": 30}, "niqe.side = 30: input should be a multiple of 4"),
        ({"probe__sources": 48}, "probe.sources: 48 of 48 sources (sources.count) leave none to train on"),
        ({"sources__r_min": 9.0, "sources__r_max": 4.0}, "sources.r_min: 9.0 is not below the largest radius, 4.0"),
        ({"train__colour_spaces": []}, "train.colour_spaces = []: tuple should have at least 1 item"),
        ({"train__colour_spaces": ["xyz"]}, "train.colour_spaces.0 = \"xyz\": input should be 'rgb', 'lab', 'hsv', "),
        ({"train__colour_spaces": ["ms", "ms"]}, "train.colour_spaces: a space is named twice in ms, ms"),
        ({"imported": ["dead_leaves"]}, "imported: 'dead_leaves' is the name of another encoder"),
        ({"encoders": ["contrique"]}, "encoders: 'contrique' is not one of dead_leaves, random_init, floor"),
        ({"viewed": {"encoders": ["floor"]}}, "viewed.encoders: 'floor' is not one of dead_leaves, random_init"),
        (
            {"viewed": {"encoders": ["dead_leaves"], "spaces": ["rgb"]}},
            "viewed.spaces.0 = \"rgb\": input should be 'lab'",
        ),
        ({"viewed": {"spaces": []}}, "viewed.spaces = []: list should have at least 1 item"),
        ({"viewed": {"spaces": ["ms", "ms"]}}, "viewed.spaces: 'ms' is named twice"),
        (
            {"encoders": ["dead_leaves-lab"]},
            "encoders: 'dead_leaves-lab' is not one of dead_leaves, random_init, floor",
        ),
        ({"train__authentic": "half"}, "train.authentic: half, and train.authentic_set is None"),
        ({"train__authentic_set": "dead_leaves"}, "train.authentic: none, and train.authentic_set is dead_leaves"),
        (
            {"train__authentic": "only", "train__authentic_set": "photos"},
            "train.authentic_set: 'photos' is not one of dead_leaves (of the sets, those that no database is made of)",
        ),
        ({"train__ema": 1.0}, "train.ema = 1.0: input should be less than 1"),
        ({"train__neighbour_weight": 1.5}, "train.neighbour_weight = 1.5: input should be less than or equal to 1"),
        ({"sources__textures": "folder"}, "sources.textures: folder, and run.paths.textures names none"),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(
    changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    assert refusal(written(tmp_path, **changes)).startswith(expected)


def test_a_metric_is_judged_and_not_probed(tmp_path: Path) -> None:
    encoders = ["dead_leaves", "floor", "psnr"]
    path = written(tmp_path, untrained=["floor", "psnr"], encoders=encoders)
    assert load(path).probed == ["dead_leaves", "floor"]
    path = written(tmp_path, untrained=["floor", "psnr"], encoders=encoders, probed=["floor", "psnr"])
    assert refusal(path) == "probed: 'psnr' is not one of dead_leaves, floor"


def test_an_encoder_in_another_colour_space_is_an_encoder(tmp_path: Path) -> None:
    viewed = {"encoders": ["dead_leaves", "random_init"], "spaces": ["lab", "ms"]}
    names = ["dead_leaves-lab", "dead_leaves-ms", "random_init-lab", "random_init-ms"]
    given = load(written(tmp_path, viewed=viewed, encoders=["floor", *names], probed=[names[0]], regressors=["floor"]))
    assert given.viewed.names == names and given.encoders[1:] == names


def test_a_missing_key_and_further_errors_are_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("seed: 1\n", ""))
    assert refusal(path) == "seed: missing"
    assert refusal(written(tmp_path, seed=-1, sets=[])).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", " = null: input should be an object"),
        ("- 1", " = [1]: input should be an object"),
        ("seed: [1", "not valid YAML ("),
        ("seed: 1\nseed: 2", "not valid YAML ("),
        ("\tseed: 1", "not valid YAML ("),
        ("seed: !!python/object/apply:os.getpid []", "not valid YAML ("),
    ],
)
def test_what_is_no_params_file_is_refused_in_one_line(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert expected in f" {refusal(path)}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "missing; `synthetic-iqa profile small`" in refusal(tmp_path / "params.yaml")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"seed: 1 # caf\xe9\n")
    assert "not valid YAML" in refusal(tmp_path / "latin.yaml")


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("report: {}", "report: {title: no}"))
    assert load(path).report.title == "no"  # YAML 1.2: a string; 1.1 would have said false
    path.write_text(path.read_text().replace("title: no", "title: 2026-01-01"))
    assert load(path).report.title == "2026-01-01"


def test_a_section_rule_is_told_with_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, evaluate__lambda_min=10.0, evaluate__lambda_max=1.0)
    assert refusal(path).startswith("evaluate.lambda_min")


def test_an_imported_encoder_is_an_encoder(tmp_path: Path) -> None:
    names = ["contrique", "floor"]
    given = load(written(tmp_path, imported=["contrique"], encoders=names, probed=names, regressors=names))
    assert given.encoders == ["contrique", "floor"] and load(written(tmp_path)).imported == []
