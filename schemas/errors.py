"""Errors by what the caller does about them.

ForeshockError
├── DataError      bad data from outside: count by reason, keep a copy aside, go on
├── SettingsError  bad configuration: say the key, exit
├── SourceError    trouble reading from outside; .retriable says whether to try again
└── SinkError      trouble writing outside; .retriable likewise
"""

from __future__ import annotations


class ForeshockError(Exception):
    """Base of all errors that are not our own bugs."""


class DataError(ForeshockError):
    """Input that cannot be used; ``reason`` is a short stable word for counters."""

    def __init__(self, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class SettingsError(ForeshockError):
    """The configuration cannot be used."""


class SourceError(ForeshockError):
    retriable = True


class SinkError(ForeshockError):
    retriable = True
