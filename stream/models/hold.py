"""One alarm is one alarm: what follows it for a while is part of it."""

from __future__ import annotations

ALARM = 0.43  # of the score of a sequence as rare as e^-4, the first that counts as an alarm
WINDOWS = 100


class Hold:
    """For those who count alarms: after a score of at least ALARM, the next WINDOWS scores stay below half of it."""

    def __init__(self) -> None:
        self._left = 0

    def step(self, score: float) -> float:
        if self._left:
            self._left -= 1
            return min(score, ALARM / 2)
        if score >= ALARM:
            self._left = WINDOWS - 1
        return score
