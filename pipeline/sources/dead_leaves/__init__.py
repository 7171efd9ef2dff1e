"""Dead leaves: the radius law, the geometry, the paint."""
