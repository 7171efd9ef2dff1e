"""Methods beside one another, across databases and beside published figures."""
