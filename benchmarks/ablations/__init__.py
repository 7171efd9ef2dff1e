"""Single changes of the small recipe at equal CPU time: what docs/ablations.md shows."""
