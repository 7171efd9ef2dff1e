"""Human-scored databases: a manifest and a folder in, one table out. What is not declared is not assumed."""

from pipeline.databases.ingest import ingest_folder
from pipeline.databases.manifest import Manifest, ManifestError, load_manifest, manifest_names
from pipeline.databases.members import class_means, ingest_members
from pipeline.databases.table import DATABASE, IngestError, notes_of

__all__ = [
    "DATABASE",
    "IngestError",
    "Manifest",
    "ManifestError",
    "class_means",
    "ingest_folder",
    "ingest_members",
    "load_manifest",
    "manifest_names",
    "notes_of",
]
