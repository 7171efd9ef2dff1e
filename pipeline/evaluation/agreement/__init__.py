"""Agreement of predictions with opinions: correlations, their intervals, tests, the noise ceiling."""
