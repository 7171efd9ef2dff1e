"""The page, its figures and its contact sheets. Knows tables, JSON and images; draws nothing that is not in them."""
