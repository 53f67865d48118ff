"""Patterns of names as users write them: ``*`` stands for any text, ``?`` for a character, ``[`` for itself."""

from __future__ import annotations

from fnmatch import fnmatchcase


def fits(text: str, pattern: str) -> bool:
    """Return whether a pattern matches a whole text.

    >>> fits("web-1", "web-*"), fits("disk[0]", "disk[0]")
    (True, True)
    """
    return fnmatchcase(text, pattern.replace("[", "[[]"))
