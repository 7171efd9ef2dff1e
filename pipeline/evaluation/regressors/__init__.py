"""Regressors from features to opinions, how their strength is chosen, and what they read."""
