"""The statements of docs/operations.md for ClickHouse, run on the engine as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"

# In a process of its own: an engine has one configuration a process.
RUN = """
import sys
from chdb import session
from store.chdb import ChdbStore
folder, backups, statements = sys.argv[1], sys.argv[2], sys.argv[3:]
store = ChdbStore(folder)
store.open()
store.insert("checkpoints", {"topic": ["samples"], "partition": [3], "resume_offset": [5], "version": [7]})
state = {"partition": [1], "rollup": ["10s"], "resume_offset": [4], "saved_ms": [1], "body": ["x"]}
store.insert("model_states", state)
store.close()
engine = session.Session(f"{folder}?backups.allowed_path={backups}/")
def rows():
    named = engine.query("SELECT name FROM system.tables WHERE database = 'foreshock' ORDER BY name", "TSV")
    names = str(named).split()
    return {name: str(engine.query(f"SELECT * FROM foreshock.{name} ORDER BY ALL", "TSV")) for name in names}
before = rows()
assert before["checkpoints"] and before["model_states"] and before["migrations"]
for statement in statements[:2]:
    engine.query(statement)
engine.query("DROP DATABASE foreshock SYNC")
assert rows() == {}
for statement in statements[2:]:
    engine.query(statement)
assert rows() == before
"""


def test_the_documented_statements_bring_every_table_back(tmp_path):
    found = re.findall(r"^((?:BACKUP|RESTORE) .*);$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    statements = [statement.replace("Disk('backups', ", "File(") for statement in found]
    assert len(statements) == 4
    command = [sys.executable, "-c", RUN, str(tmp_path / "store"), str(tmp_path / "backups"), *statements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=OPERATIONS.parents[1])
    assert done.returncode == 0, done.stderr
