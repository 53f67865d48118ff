"""``make bench``, or ``make bench ARGS=windows``: a file a figure, ratios measured side by side in one run."""

from __future__ import annotations

import importlib
import sys

FIGURES = {
    "windows": "bench.windows",
    "simulation": "bench.simulation",
    "fanout": "bench.fanout",
    "latency": "bench.latency",
    "many": "bench.many",
    "scoring": "bench.scoring",
    "events": "bench.user_events",
    "cluster": "bench.cluster",
    "soak": "bench.soak",
    "overload": "bench.overload",
    "page": "bench.page",
    "remote_write": "bench.remote_write",
    "resemblance": "bench.resemblance",
    "site": "bench.site",
    "storage": "bench.storage",
}


def main() -> None:
    names = sys.argv[1:2] or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        sys.exit(f"cannot measure {unknown[0]!r}: want one of {', '.join(FIGURES)}")
    for name in names:
        print(f"# {name}", flush=True)
        importlib.import_module(FIGURES[name]).main(sys.argv[2:])


main()
