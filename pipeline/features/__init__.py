"""Features of the images of a database: any extractor in, one Parquet table out."""

from pipeline.encoder import Extractor
from pipeline.features.extraction import extract_features
from pipeline.features.feature_table import FeatureError, FeatureTable, feature_schema, feature_table, read_features
from pipeline.features.full_reference import compare_images
from pipeline.features.load import load_extractor, load_metric, weights_sha256

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
