"""A set of sources by its name, and the compilation of all kernels that drawing needs."""

from __future__ import annotations

from pathlib import Path

from pipeline.params.sections import PathsParams, SourcesParams
from pipeline.sources import palettes
from pipeline.sources.dead_leaves.leaves_set import DeadLeavesSet, LeavesSettings
from pipeline.sources.errors import SourceError
from pipeline.sources.folder.danbooru import PostRules
from pipeline.sources.folder.folder_set import FolderSet, Mapper, choose
from pipeline.sources.photographs import Photograph, PhotographSet, photos


def source_set(
    name: str,
    params: SourcesParams,
    *,
    seed: int,
    folder: Path | None = None,
    paths: PathsParams | None = None,
    mapper: Mapper = map,
) -> DeadLeavesSet | PhotographSet | FolderSet:
    """The set ``name``: ``dead_leaves``, ``textured_dead_leaves``, ``photos``, or any other name with a ``folder``.

    A drawn set has ``params.count`` images of ``params.size`` x ``params.size`` pixels, image ``i`` the same whatever
    the count is; ``photos`` has its five at their own sizes. ``folder`` (a folder tree, a .tar, a .txt or .jsonl list:
    Danbooru, KADIS, photographs of the user's) gives the ``params.count`` images with the smallest keyed hashes that
    pass ``params.folder`` and ``params.danbooru``. ``paths`` names the folders of palettes and textures and the
    metadata files. ``mapper(function, tasks)`` decodes the candidates of a folder (an engine's map).

    ``SourceError`` names the value that is impossible, or the folder that gives too few images, with the reasons
    counted.
    """
    paths = paths or PathsParams()
    if name == "photos":
        return photos()
    if name in ("dead_leaves", "textured_dead_leaves"):
        settings = LeavesSettings(
            height=params.size,
            width=params.size,
            r_min=params.r_min,
            r_max=float(params.size) if params.r_max is None else params.r_max,
            exponent=params.exponent,
            alpha=params.alpha,
            supersample=params.supersample,
            shape=params.shape if isinstance(params.shape, str) else {str(k): v for k, v in params.shape.items()},
            shading=params.shading,
            depth_blur=params.depth_blur,
        )
        return DeadLeavesSet(
            params.count,
            seed,
            settings,
            _photographs(params, paths),
            None if name == "dead_leaves" else _textures(params, paths),
        )
    if folder is None:
        raise SourceError(f"sources: {name!r} is none of dead_leaves, textured_dead_leaves, photos and has no folder")
    return choose(
        folder.resolve(),
        seed=seed,
        count=params.count,
        rules=params.folder,
        posts=PostRules(
            params.danbooru,
            tuple(map(Path, paths.metadata)),
            None if paths.exclude_ids is None else Path(paths.exclude_ids),
        ),
        mapper=mapper,
    )


def compile_kernels() -> None:
    """Fill numba's cache; called once in the driver, so that no two workers compile (about 15 s the first time)."""
    from pipeline.sources.dead_leaves import leaf_shapes, occlusion, paint_kernels, sample_leaves  # noqa: F401
    from pipeline.sources.textures import procedural_noise  # noqa: F401  (signatures are explicit: importing compiles)


def _photographs(params: SourcesParams, paths: PathsParams) -> tuple[Photograph, ...] | None:
    if params.palettes == "drawn":
        return None
    return palettes.folder(_chosen("palettes", paths.palettes)) if params.palettes == "folder" else palettes.embedded()


def _textures(params: SourcesParams, paths: PathsParams) -> str | Path:
    return _chosen("textures", paths.textures) if params.textures == "folder" else "embedded"


def _chosen(key: str, path: str | None) -> Path:
    if path is None:
        raise SourceError(f"sources.{key}: folder, but run.paths.{key} names none")
    return Path(path).resolve()  # a worker may have another working directory
