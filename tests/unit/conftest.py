"""What several unit tests stand on."""

import pytest

from log.embedded import EmbeddedLog
from schemas.topics import ALERTS, VERDICTS
from store.chdb import ChdbStore
from store.repository import Repository


@pytest.fixture
async def parts(tmp_path):
    """A real log and store, as an alerter has them."""
    log = EmbeddedLog.shared(str(tmp_path / "log"))
    await log.start()
    await log.create_topics({VERDICTS: 1, ALERTS: 1})
    repository = Repository(ChdbStore(str(tmp_path / "store")))
    await repository.open()
    yield log, repository
    await repository.close()
    await log.stop()
