"""What the pipeline is told about the world and never computes."""
