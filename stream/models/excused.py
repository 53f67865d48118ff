"""Windows in which an alarm is neither right nor false: just after an incident, and while a cause has one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from schemas.patterns import fits
from stream.models.labels import Labels
from stream.models.threshold import HOLD_MS


class Excused:
    """``depends`` : entity → its causes (names, ``*`` allowed), as ``alerts.depends`` says.

    An alarm holds for an hour, so the hour after an incident belongs to it. An entity whose cause has failed is off
    itself; its alert is held back while the cause's fires, and tells of something that is so if it is not.
    """

    def __init__(self, depends: Mapping[str, tuple[str, ...]]) -> None:
        self._causes = depends

    def of(self, labels: Labels, entities: list[str], start_ms: int, end_ms: int) -> np.ndarray:
        """Return bool[n], of a window whose incidents are known."""
        failed = labels.failed(start_ms - HOLD_MS, end_ms)
        if not failed:
            return np.zeros(len(entities), bool)
        return np.array([e in failed or self._has(self._causes.get(e, ()), failed - {e}) for e in entities], bool)

    @staticmethod
    def _has(causes: tuple[str, ...], failed: set[str]) -> bool:
        return any(fits(entity, cause) for cause in causes for entity in failed)
