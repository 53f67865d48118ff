"""A store's own process makes arrays without pandas, which is installed beside it."""

import subprocess
import sys

MAKE = """
import sys
from store.chdb import ChdbStore
store = ChdbStore(sys.argv[1])
store.open()
store.insert("migrations", {"name": ["a test"], "done_ms": [1]})
assert store.select("SELECT name FROM migrations WHERE done_ms = 1")["name"] == ["a test"]
store.close()
assert "pandas" not in sys.modules
import pandas
"""


def test_arrays_are_made_without_pandas(tmp_path):
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path / "store")], check=True)
