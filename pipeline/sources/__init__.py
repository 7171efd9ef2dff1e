"""Source images to distort: dead leaves, packaged photographs, or the images of a user's folder."""

from pipeline.sources.errors import SourceError
from pipeline.sources.source_sets import compile_kernels, source_set

__all__ = ["SourceError", "compile_kernels", "source_set"]
