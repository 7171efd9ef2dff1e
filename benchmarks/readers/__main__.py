"""``python -m benchmarks.readers``: see the package."""

from __future__ import annotations

import argparse
import json

import benchmarks.readers

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=benchmarks.readers.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--sources", type=int, default=6, help="126 images each")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    figures = benchmarks.readers.measure(arguments.sources, arguments.repeats)
    if arguments.json:
        print(json.dumps(figures))
