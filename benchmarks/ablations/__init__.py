"""Single changes of the released encoder's recipe at equal CPU time: what docs/ablations.md shows."""
