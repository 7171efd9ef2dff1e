"""Features of the images of a database: any extractor in, one Parquet table out."""

from pipeline.features.extraction import extract_features
from pipeline.features.load import Extractor, load_extractor, load_metric, weights_sha256
from pipeline.features.pairs import compare_images
from pipeline.features.table import FeatureError, FeatureTable, feature_schema, feature_table, read_features

__all__ = [
    "Extractor",
    "FeatureError",
    "FeatureTable",
    "compare_images",
    "extract_features",
    "feature_schema",
    "feature_table",
    "load_extractor",
    "load_metric",
    "read_features",
    "weights_sha256",
]
