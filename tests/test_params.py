"""params.yaml: what is unknown, of the wrong type or impossible is refused, all of it at once, by key and value."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from pipeline import profiles
from pipeline.params import Params, ParamsError, load
from pipeline.params.loading import CHANGED
from pipeline.params.sections import TrainingParams
from tests import profile

ROOT = Path(__file__).parents[1]
MINIMAL = """
seed: 1
sets: {dead_leaves: {}, photos: {}}
databases: {photos: {folder: data/distorted/photos}}
train: {dead_leaves: {set: dead_leaves}}
readouts: {}
niqe: {}
encoders: [dead_leaves, floor]
sources: {}
statistics: {}
distort: {}
training: {}
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


@pytest.mark.parametrize("name", profiles.profile_names())
def test_every_profile_is_valid(name: str) -> None:
    assert isinstance(profile.read(name), Params)


def test_the_project_comes_with_the_small_profile() -> None:
    assert (ROOT / "params.yaml").read_text() == profiles.profile_text("small")
    assert load(ROOT / "released/params.yaml").training.width == 32
    assert load(ROOT / "released/classifier/params.yaml").classification_of("types").width == 32


def test_the_minimal_file_has_the_defaults(tmp_path: Path) -> None:
    loaded = load(written(tmp_path))
    assert loaded.sources.count == 48 and loaded.run.engine == "ray" and loaded.probe_sets == ("dead_leaves",)


def test_the_released_encoder_needs_no_training(tmp_path: Path) -> None:
    names = ["released", "floor", "brisque36", "psnr"]
    assert load(written(tmp_path, encoders=names, train={})).encoders == names


def test_parameters_cannot_be_changed(tmp_path: Path) -> None:
    loaded = load(written(tmp_path))
    with pytest.raises(ValidationError, match="frozen"):
        loaded.sources.count = 3  # type: ignore[misc]


def sections(model: type[BaseModel] = Params) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found += sections(part)
    return found


def test_every_section_is_frozen_strict_and_forbids_what_it_does_not_know() -> None:
    assert len(sections()) >= 20
    for model in sections():
        config = model.model_config
        assert (config["frozen"], config["strict"], config["extra"]) == (True, True, "forbid"), model


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"sources__cuont": 3},
            "sources.cuont = 3: unknown key; did you mean count?; allowed here: alpha, codec, count, ",
        ),
        ({"sedd": 3}, "sedd = 3: unknown key; did you mean seed?; allowed here: classification, "),
        (
            {"train__dead_leaves__temprature": 1.0},
            "train.dead_leaves.temprature = 1.0: unknown key; did you mean",
        ),
        (
            {"run__paths__textuers": "x"},
            'run.paths.textuers = "x": unknown key; did you mean textures?; ',
        ),
        ({"sources__count": 0}, "sources.count = 0: input should be greater than or equal to 1"),
        ({"sources__count": "48"}, 'sources.count = "48": input should be a valid integer'),
        ({"sources__count": 48.5}, "sources.count = 48.5: input should be a valid integer"),
        ({"sources__count": True}, "sources.count = true: input should be a valid integer"),
        ({"sources__count": None}, "sources.count = null: input should be a valid integer"),
        ({"sources__alpha": 1.5}, "sources.alpha = 1.5: input should be less than or equal to 1"),
        ({"sources__alpha": float("nan")}, "sources.alpha = NaN: input should be"),
        ({"sources__exponent": float("inf")}, "sources.exponent = Infinity: input should be a finite number"),
        (
            {"sources__codec": "pngg"},
            "sources.codec = \"pngg\": input should be 'qoi', 'png', 'webp' or 'jxl'; did you mean png?",
        ),
        ({"sources__shape": "disk"}, "sources.shape = \"disk\": input should be 'disc', 'ellipse' or 'polygon'"),
        (
            {"sources__shape": {"disk": 1}},
            "sources.shape.disk = \"disk\": input should be 'disc', 'ellipse' or 'polygon'",
        ),
        ({"sources__shape": {"disc": 0}}, "sources.shape.disc = 0: input should be greater than 0"),
        ({"sources": [1]}, "sources = [1]: input should be an object"),
        ({"sources": None}, "sources = null: input should be an object"),
        ({"seed": -1}, "seed = -1: input should be greater than or equal to 0"),
        ({"sets": {}}, "sets = {}: dictionary should have at least 1 item"),
        ({"sets__Dead Leaves": {}}, 'sets.Dead Leaves = "Dead Leaves": string should match pattern'),
        ({"sets": {"../x": {}}}, 'sets.../x = "../x": string should match pattern'),
        ({"sets__cats": None}, "sets.cats = null: input should be an object"),
        ({"databases__mine": {}}, "databases.mine.folder: missing"),
        ({"encoders": []}, "encoders = []: list should have at least 1 item"),
        ({"run__engine": "slurm"}, "run.engine = \"slurm\": input should be 'serial', 'processes' or 'ray'"),
        ({"run__workers": 0}, "run.workers = 0: input should be greater than or equal to 1"),
        (
            {"train__mine": {"set": "photoss"}},
            'train.mine.set = "photoss": not one of sets: dead_leaves, photos; did you mean photos?',
        ),
        ({"train__floor": {"set": "photos"}}, "train.floor: the name is a baseline; give another"),
        ({"train__released": {"set": "photos"}}, "train.released: the name is the released encoder; give another"),
        ({"encoders": ["floor", "danbooru"]}, 'encoders = "danbooru": not one of dead_leaves, released, random_init, '),
        ({"encoders": ["flor"]}, 'encoders = "flor": not one of dead_leaves, released, random_init, floor, '),
        ({"encoders": ["niqe"]}, 'encoders = "niqe": not one of '),
        ({"encoders": ["floor", "floor"]}, 'encoders = "floor": named twice'),
        (
            {"sets__ded_leaves": {}},
            "sets.ded_leaves = {}: a set of yours needs its `folder`; only dead_leaves, textured_dead_leaves, photos "
            "need none; did you mean dead_leaves?",
        ),
        (
            {"sets__photos": {"folder": "x"}},
            'sets.photos.folder = "x": photos needs no folder; give yours ',
        ),
        (
            {"databases__photos": {"folder": "x"}},
            'databases.photos.folder = "x": it is made by the stages, in data/distorted/photos',
        ),
        (
            {"sets": {"dead_leaves": {}}},
            'databases.photos = {"folder": "data/distorted/photos"}: made of the set',
        ),
        (
            {"niqe__niqe": {"set": "textured_dead_leaves"}},
            'niqe.niqe.set = "textured_dead_leaves": not one of sets: dead_leaves, photos; did you mean dead_leaves?',
        ),
        ({"niqe__niqe": {"set": "photos", "side": 30}}, "niqe.niqe.side = 30: input should be a multiple of 4"),
        ({"niqe__dead_leaves": {"set": "photos"}}, "niqe.dead_leaves: the name stands under `train`; give another"),
        ({"probe__sources": 48}, "probe.sources = 48: of 48 sources (sources.count) that leaves none to train on"),
        ({"probe__folds": 20}, "probe.folds = 20: above probe.sources, 16"),
        ({"sources__r_min": 9.0, "sources__r_max": 4.0}, "sources.r_min = 9.0: not below the largest radius, 4"),
        ({"training__colour_spaces": []}, "training.colour_spaces = []: tuple should have at least 1 item"),
        (
            {"training__colour_spaces": ["xyz"]},
            "training.colour_spaces.0 = \"xyz\": input should be 'rgb', 'lab', 'hsv', ",
        ),
        ({"training__colour_spaces": ["ms", "ms"]}, 'training.colour_spaces = ["ms", "ms"]: each is named once'),
        (
            {"evaluate__regressors": ["svr", "svr"]},
            'evaluate.regressors = ["svr", "svr"]: each is named once',
        ),
        (
            {"joint__ssl": {"set": "photoss", "database": "photos"}},
            'joint.ssl.set = "photoss": not one of sets: dead_leaves, photos; did you mean photos?',
        ),
        (
            {"joint__ssl": {"set": "dead_leaves", "database": "kadid"}, "encoders": ["ssl"]},
            'joint.ssl.database = "kadid": not one of databases: photos',
        ),
        (
            {"joint__ssl": {"set": "photos", "database": "photos"}},
            'joint.ssl.set = "photos": the database photos is made of the set photos, so its test images would be',
        ),
        (
            {"joint__ssl": {"set": "dead_leaves", "database": "photos", "class_balanced": True, "batch": 30}},
            "joint.ssl.batch = 30: no multiple of images_per_class, 8",
        ),
        ({"joint__ssl": {"set": "dead_leaves"}}, "joint.ssl.database: missing"),
        (
            {"finetune__mine": {"encoder": "floor", "database": "photos", "mode": "ft"}, "encoders": ["floor", "mine"]},
            'finetune.mine.encoder = "floor": not one of the other networks under `encoders`: none',
        ),
        (
            {
                "finetune__mine": {"encoder": "released", "database": "kadid", "mode": "ft"},
                "encoders": ["released", "mine"],
            },
            'finetune.mine.database = "kadid": not one of databases: photos',
        ),
        (
            {
                "classify__c": {"set": "dead_leaves", "encoder": "random_init"},
                "domains__d": {"classifier": "c", "folder": "mine"},
                "transfer__t": {"encoder": "released", "source": "photos", "target": "photos", "domains": "d"},
            },
            'transfer.t.target = "photos": the database that is trained on, too',
        ),
        (
            {
                "transfer__t": {
                    "encoder": "released",
                    "source": "photos",
                    "target": "photos",
                    "domains": "d",
                    "types": [26],
                }
            },
            "transfer.t.types.0 = 26",
        ),
        (
            {
                "databases__mine": {"folder": "mine"},
                "domains__d": {"classifier": "released/classifier", "folder": "mine"},
                "transfer__t": {
                    "encoder": "released",
                    "source": "photos",
                    "target": "mine",
                    "domains": "d",
                    "types": [1, 2, 1],
                },
            },
            "transfer.t.types = [1, 2, 1]: each is named once",
        ),
        (
            {"domains__d": {"classifier": "released/classifier", "folder": "data/distorted/textured_dead_leaves"}},
            'domains.d.folder = "data/distorted/textured_dead_leaves": made of the set textured_dead_leaves, which',
        ),
        (
            {"finetune__mine": {"encoder": "released", "database": "photos", "mode": "lpft"}},
            "finetune.mine.mode",
        ),
        (
            {"joint__dead_leaves": {"set": "dead_leaves", "database": "photos"}},
            "joint.dead_leaves: the name stands under `train`",
        ),
        ({"quality__photoss": {}}, 'quality = "photoss": not one of sets: dead_leaves, photos; did you mean photos?'),
        (
            {"quality__photos": {"metrics": ["psnr", "psnr"]}},
            'quality.photos.metrics = ["psnr", "psnr"]: each is named once',
        ),
        ({"distort__composites": 513}, "distort.composites = 513: input should be less than or equal to 512"),
        (
            {"readouts__floor_lab": {"encoder": "floor", "pool": {"spaces": ["lab"]}}},
            'readouts.floor_lab.encoder = "floor": not one of dead_leaves, released, random_init',
        ),
        (
            {"readouts__lab": {"encoder": "released", "pool": {"spaces": ["labb"]}}},
            "readouts.lab.pool.spaces.0 = \"labb\": input should be 'rgb', 'lab', 'hsv', 'grey' or 'ms'; did you ",
        ),
        (
            {"train__dead_leaves": {"set": "dead_leaves", "encoder": "released", "width": 8}},
            "train.dead_leaves.width = 8: of no use beside encoder: released, whose it is",
        ),
        (
            {"train__dead_leaves": {"set": "dead_leaves", "encoder": "floor"}},
            "train.dead_leaves.encoder",
        ),
        (
            {
                "databases__mine": {"folder": "mine"},
                "pooled__people": {"encoder": "released", "databases": ["photos", "mine"], "order": {"set": "photoss"}},
                "encoders": ["released"],
            },
            'pooled.people.order.set = "photoss": not one of sets: dead_leaves, photos; did you mean photos?',
        ),
        ({"training__authentic": "half"}, 'training.authentic = "half": needs authentic_set, which is null'),
        (
            {"train__dead_leaves__authentic": "half"},
            'train.dead_leaves.authentic = "half": needs authentic_set, which is null',
        ),
        (
            {"training__authentic_set": "dead_leaves"},
            'training.authentic_set = "dead_leaves": of no use while authentic is none',
        ),
        (
            {"training__authentic": "only", "training__authentic_set": "photos"},
            'training.authentic_set = "photos": not one of the sets that no database is made of: dead_leaves',
        ),
        (
            {"training__class_balanced": True, "train__dead_leaves__batch": 66},
            "train.dead_leaves.batch = 66: 66 distorted images are no multiple of images_per_class, 4",
        ),
        ({"training__ema": 1.0}, "training.ema = 1.0: input should be less than 1"),
        (
            {"training__neighbour_weight": 1.5},
            "training.neighbour_weight = 1.5: input should be less than",
        ),
        ({"sources__textures": "folder"}, 'sources.textures = "folder": run.paths.textures names none'),
        (
            {"evaluate__lambda_min": 10.0, "evaluate__lambda_max": 1.0},
            "evaluate.lambda_min = 10.0: above evaluate",
        ),
        ({"sources__folder": {"max_side": 100}}, "sources.folder.max_side: 100 is below sources.folder.min_side (256)"),
        # keys that changed
        ({"distort__max_poisoned": 1}, "distort.max_poisoned = 1: is now `max_failed_sources`"),
        ({"sources__folder": {"blank": 3.0}}, "sources.folder.blank = 3.0: is now `min_contrast`"),
        ({"evaluate__svr": {"numbers": 36}}, "evaluate.svr.numbers = 36: is now `max_features`"),
        ({"train__temperature": 0.3}, "train.temperature = 0.3: is now `training.temperature`"),
        ({"niqe__set": "photos"}, 'niqe.set = "photos": stands in a model\'s line now: `NAME: {set: SET}`'),
        ({"sets": ["photos"]}, 'sets = ["photos"]: is now a mapping: `dead_leaves: {}`, or `NAME: {folder: FOLDER}`'),
        ({"untrained": ["floor"]}, 'untrained = ["floor"]: is gone: naming a baseline under `encoders` is enough'),
        ({"run__paths__databases": {"live": "/l"}}, 'run.paths.databases = {"live": "/l"}: is now `databases`: '),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(
    changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    assert refusal(written(tmp_path, **changes)).startswith(expected)


def test_all_mistakes_are_listed_together(tmp_path: Path) -> None:
    path = written(
        tmp_path, seed=-1, sources__cuont=3, encoders=["floor", "Dead", "danbooru"], train__mine={"set": "photoss"}
    )
    with pytest.raises(ParamsError) as caught:
        load(path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: 5 mistakes"
    keys = sorted(line.strip().split(" = ")[0] for line in lines)
    assert keys == ["encoders", "encoders.1", "seed", "sources.cuont", "train.mine.set"]


def test_many_mistakes_in_one_list_hide_no_other(tmp_path: Path) -> None:
    names = [f"X{number}" for number in range(12)]  # of items 2 and 10 the later one goes first
    with pytest.raises(ParamsError) as caught:
        load(written(tmp_path, encoders=[*names[:11], "floor", names[11], "danbooru"]))
    assert f"{tmp_path / 'params.yaml'}: 13 mistakes" in str(caught.value)
    assert "encoders.12 = " in str(caught.value) and 'encoders = "danbooru": not one of' in str(caught.value)


def test_every_old_list_of_names_is_told_what_it_became(tmp_path: Path) -> None:
    """The first page of parameters had eleven lists, and the knobs of training under `train`."""
    old = {"sets": ["photos"], "databases": ["photos"], "train": {"depth": 18, "width": 16}}
    gone = ("trained", "untrained", "imported", "viewed", "probed", "embedded", "ingested", "regressors")
    with pytest.raises(ParamsError) as caught:
        load(written(tmp_path, **old, **dict.fromkeys(gone, [])))
    for key in (*gone, "sets", "databases", "train.depth", "train.width"):
        assert f"  {key} = " in str(caught.value) and CHANGED[key] in str(caught.value)


def test_a_mistake_in_the_knobs_of_all_runs_is_told_once(tmp_path: Path) -> None:
    runs = {name: {"set": "dead_leaves"} for name in ("a", "b")}
    path = written(tmp_path, train=runs, encoders=["a"], training__authentic="half")
    assert refusal(path) == 'training.authentic = "half": needs authentic_set, which is null'


def test_a_run_has_the_knobs_of_training_but_for_those_in_its_line(tmp_path: Path) -> None:
    cold = {"set": "dead_leaves", "temperature": 0.05, "ema": None}
    given = load(written(tmp_path, train__cold=cold, training__ema=0.99, training__depth=34))
    assert given.training_of("dead_leaves") == given.training == TrainingParams(ema=0.99, depth=34)
    assert given.training_of("cold") == TrainingParams(temperature=0.05, depth=34)
    assert type(given.training_of("cold")) is TrainingParams  # what goes into the card has no set
    assert given.model_dump()["train"]["cold"] == cold  # and the page shows the line as it was written


def test_metrics_baselines_and_readouts_are_encoders(tmp_path: Path) -> None:
    readouts = {"released_lab": {"encoder": "released", "pool": {"spaces": ["lab"]}}}
    names = ["released_lab", "niqe_photos", "psnr", "random_init", "dead_leaves"]
    given = load(written(tmp_path, readouts=readouts, niqe__niqe_photos={"set": "photos"}, encoders=names))
    assert [name for name in names if given.is_metric(name)] == ["niqe_photos", "psnr"]


def test_probed_sets_are_all_but_the_one_that_a_database_is_made_of(tmp_path: Path) -> None:
    given = load(written(tmp_path, sets__mine={"folder": "/m"}, train__again={"set": "dead_leaves"}))
    assert given.probe_sets == ("dead_leaves", "mine")
    given = load(written(tmp_path, sets={"photos": {}}, train={}, encoders=["released"]))
    assert given.probe_sets == ("photos",)


def test_a_missing_key_is_named_and_sections_have_defaults(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("sets: {photos: {}}\ndatabases: {photos: {folder: data/distorted/photos}}\n")
    assert refusal(path) == "encoders: missing"
    path.write_text("sets: {photos: {}}\ndatabases: {photos: {folder: data/distorted/photos}}\nencoders: [floor]\n")
    assert load(path).sources.count == 48


def test_a_greedy_run_names_what_there_is(tmp_path: Path) -> None:
    line = {"encoder": "psnr", "source": "photos", "target": "photos", "domains": "clive"}
    with pytest.raises(ParamsError) as caught:
        load(written(tmp_path, encoders=["dead_leaves", "psnr"], greedy={"mine": line}))
    assert str(caught.value).splitlines()[1:] == [
        '  greedy.mine.encoder = "psnr": not one of encoders (no metric): dead_leaves',
        '  greedy.mine.domains = "clive": not one of domains: none',
        '  greedy.mine.target = "photos": the database that is trained on, too',
    ]


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


def test_a_folder_of_data_models_is_an_encoder(tmp_path: Path) -> None:
    path = written(tmp_path, encoders=["contrique", "floor"])
    assert refusal(path).startswith('encoders = "contrique": not one of ')
    (tmp_path / "data/models/contrique").mkdir(parents=True)
    (tmp_path / "data/models/contrique/encoder.json").write_text("{}")
    assert load(path).encoders == ["contrique", "floor"]


def test_a_calibrated_classifier_of_data_models_answers(tmp_path: Path) -> None:
    path = written(tmp_path, domains={"d": {"classifier": "mine", "folder": "images"}})
    model = tmp_path / "data/models/mine"
    model.mkdir(parents=True)
    (model / "encoder.json").write_text("{}")
    assert refusal(path).startswith('domains.d.classifier = "mine": not one of ')  # an encoder, and no classifier
    (model / "classifier.safetensors").touch()
    assert load(path).domains["d"].classifier == "mine"
