"""Full-reference metrics of every sample of a distorted set against its pristine image: pseudo-opinions."""

from pipeline.quality.pseudo_opinions import QualityJob, measure, quality_schema, quality_table

__all__ = ["QualityJob", "measure", "quality_schema", "quality_table"]
