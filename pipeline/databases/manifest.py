"""What a database's manifest may say: its files, score column, direction, groups, strata, official split and protocol.

Manifests of known databases are in ``manifests/databases``; for one's own, ``database.yaml`` lies with the images.
"""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline import Refusal, images

OWN_MANIFEST = "database.yaml"


class ManifestError(Refusal, ValueError):
    """A manifest that is missing or refused; the message names the file, the key and what is wrong."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return pattern


def _has(pattern: str | None, group: str) -> bool | None:
    """True if a pattern has a group of this name, else None."""
    return f"(?P<{group}>" in (pattern or "") or None


Pattern = Annotated[str, AfterValidator(_compiles)]
Ending = Annotated[str, AfterValidator(lambda ending: f".{ending.lower().lstrip('.')}")]


_GONE = {
    "duplicates": "equal images always share a group",
    "ignore_case": "names always meet whatever their case",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_key_that_is_gone(cls, content: Any) -> Any:
        for key in _GONE.keys() & content.keys() if isinstance(content, dict) else ():
            raise ValueError(f"take `{key}` away: {_GONE[key]}")
        return content


class SplitFile(_Part):
    """A file of the official split: the images it lists (column ``image``) are in the part that its column ``part``
    says, or, without one, in the part called like the file.
    """

    file: str
    image: str
    part: str | None = None


class Scores(_Part):
    """The score file and its columns. ``image`` and ``reference`` may be patterns over columns:
    ``Image{Number:4}.png`` fills Number up to four digits with zeros.
    """

    file: str = Field(description="below the folder; text, .xlsx or .mat; with * all that fit, one after the other")
    sheet: str | None = Field(None, description="of an .xlsx; null: its first")
    delimiter: Literal[",", ";", "\t", "whitespace"] = ","
    columns: tuple[str, ...] | None = Field(
        None, description="names of a text file without a header; what a sheet's header row has; variables of a .mat"
    )
    beside: dict[str, tuple[str, ...]] = Field(
        {}, description="files with a row for each row of `file` (mos_std.txt), and their columns as above"
    )
    numbered: dict[str, int] = Field(
        {}, description="image names that no file lists, {}: from 1 to the count; they are the column `numbered`"
    )
    replace: dict[str, dict[str, str]] = Field({}, description="column -> what is in it -> what stands for it")
    leave_out: dict[str, Pattern] = Field({}, description="rows (and images) that are no part: column -> pattern")
    image: str
    mos: str
    mos_std: str | None = None
    reference: str | None = None
    group: str | None = None
    stratum: str | None = None
    official_split: str | None = None
    split_files: tuple[SplitFile, ...] = Field((), description="instead of a column; what none lists is unused")


class Images(_Part):
    """Where the images are, below the database's folder, and their ``extensions`` (all that are decoded, if not given).

    ``unscored`` are glob patterns of files that are known to have no score (training examples of the viewers); anything
    else without a score is an error. With ``by_name`` the score file gives names, and the files may lie in any folders
    below. Case does not count.
    """

    folder: str = "."
    extensions: tuple[Ending, ...] = images.ENDINGS
    by_name: bool = False
    unscored: tuple[str, ...] = ()


class Group(_Part):
    """What is never on two sides of a split: ``image``, ``reference``, ``column`` (of the score file), ``source`` (of
    members) or ``block``: ``size`` contiguous numbers; ``pattern`` has the named groups ``number`` (from 1) and,
    optionally, ``subset``.
    """

    kind: Literal["image", "reference", "column", "block", "source"]
    pattern: Pattern | None = None
    size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _block_is_whole(self) -> Group:
        if self.kind == "block" and (self.size is None or self.pattern is None or "(?P<number>" not in self.pattern):
            raise ValueError("a block needs `size` and a `pattern` with the named group number")
        return self


class Manifest(_Part):
    """One human-scored database.

    ``kind``: ``folder`` (images and a score file) or ``members`` (members of tar shards, scored by the class of their
    distortion). Patterns on names of images ignore case. ``official_shares_groups``: the official split may put images
    of one group (and equal images) into different parts.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    title: str
    citation: str
    note: str = ""
    kind: Literal["folder", "members"]
    higher_is_better: bool
    range: tuple[float, float]
    scores: Scores | None = None
    class_means: str | None = None
    images: Images | None = None
    references_folder: str | None = None
    reference_pattern: Pattern | None = Field(None, description="pattern on the image's name: named group reference")
    reference_suffix: str = Field(
        "", description="what follows the group of reference_pattern in the reference's file name"
    )
    group: Group
    type_level: Pattern | None = Field(
        None, description="pattern on the image's name: named groups type and, optionally, level"
    )
    types: dict[str, int] = Field({}, description="number of each type that type_level finds as a word")
    bank_types: bool = Field(False, description="the types' numbers are the bank's (KADIS-700k's order), 1 to 25")
    short_side: int | None = Field(
        None, ge=32, le=8192, description="the protocol looks at images reduced or enlarged to this shorter side"
    )
    raters: int | None = Field(None, ge=1, description="opinions behind each mean, about; for the noise ceiling")
    stratum: Literal["none", "column", "type", "subset"] = Field("none", description="subset: that of group.pattern")
    official_parts: dict[str, Literal["train", "val", "test", "unused"]] = {}
    official_shares_groups: bool = False
    protocol: Literal["random", "leave_one_group_out", "official"] = "random"
    stratified: bool = Field(False, description="random splits take their shares inside each stratum")

    @model_validator(mode="after")
    def _parts_agree(self) -> Manifest:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range: {self.range[0]} is not below {self.range[1]}")
        if self.kind == "members":
            if self.class_means is None or self.group.kind != "source":
                raise ValueError("kind members needs class_means and group.kind source")
            return self
        if self.scores is None or self.images is None:
            raise ValueError("kind folder needs scores and images")
        official = self.scores.official_split or self.scores.split_files or None
        needs = {
            "group.kind column": (self.group.kind == "column", self.scores.group),
            "group.kind reference": (self.group.kind == "reference", self.scores.reference or self.reference_pattern),
            "stratum column": (self.stratum == "column", self.scores.stratum),
            "stratum subset": (self.stratum == "subset", _has(self.group.pattern, "subset")),
            "reference_pattern": (self.reference_pattern is not None, _has(self.reference_pattern, "reference")),
            "type_level": (self.type_level is not None, _has(self.type_level, "type")),
            "stratum type": (self.stratum == "type", self.type_level),
            "official_parts": (bool(self.official_parts), official),
            "protocol official": (self.protocol == "official", official),
            "raters": (self.raters is not None, self.scores.mos_std),
        }
        for what, (wanted, given) in needs.items():
            if wanted and given is None:
                raise ValueError(f"{what}: the column, pattern or named group it needs is not declared")
        if self.group.kind == "source":
            raise ValueError("group.kind source is for members")
        return self


def manifest_names() -> list[str]:
    """The databases that have a manifest in ``manifests/databases``."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def load_manifest(name: str, folder: Path | None = None) -> Manifest:
    """The manifest of ``name``: ours, or ``database.yaml`` of the user's ``folder``; else :class:`ManifestError`."""
    if name in manifest_names():
        return _parse(_folder() / f"{name}.yaml", name)
    own = None if folder is None else Path(folder) / OWN_MANIFEST
    if own is None or not own.is_file():
        raise ManifestError(
            f"{name}: no manifest of that name (known: {', '.join(manifest_names())}) and no {OWN_MANIFEST} in "
            f"{folder or 'its folder, which `databases` does not name'}"
        )
    return _parse(own, name)


def _parse(path: Path | Traversable, name: str) -> Manifest:
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        # an unknown key comes first: it is why another is missing
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        raise ManifestError(
            f"{path}: {key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from None
    if manifest.name != name:
        raise ManifestError(f"{path}: name is {manifest.name!r}, expected {name!r}")
    return manifest


def _folder() -> Traversable:
    return files("manifests") / "databases"
