"""``python -m pipeline.cli``: the console script where it is not installed."""

from pipeline.cli.app import main

if __name__ == "__main__":
    main()
