"""Dead leaves: the law of their radii, the geometry (which leaf each pixel shows), and the paint."""
