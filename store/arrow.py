"""Arrow without pandas.

pyarrow looks for pandas when it makes its first array, and imports it where chDB has brought it along: half a second of
processor time at each start, and 40 MB, for data frames that nobody here makes. So it looks while there is none.
"""

from __future__ import annotations

import sys
from typing import Any

import pyarrow

__all__ = ["pyarrow"]


class _NoPandas:
    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not wanted", name=name)


def _look_for_pandas() -> None:
    sys.meta_path.insert(0, _NoPandas)
    try:
        pyarrow.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)


_look_for_pandas()
