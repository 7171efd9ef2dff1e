"""The page of a run, its figures, contact sheets, and tables of results in Markdown."""
