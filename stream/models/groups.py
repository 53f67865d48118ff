"""Which group an entity belongs to: entities of a group share their models, a new one starts from what it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.patterns import fits

REST = ""  # those that no pattern matches


class Groups:
    """``patterns`` : group → patterns of entity names (``*`` allowed); the first group that matches is it.

    Raises ValueError saying what is wrong.

    >>> Groups({"db": ["db-*"]}).of("db-1")
    'db'
    """

    def __init__(self, patterns: Mapping[str, Sequence[str]] | None = None) -> None:
        self._patterns: dict[str, tuple[str, ...]] = {}
        for name, given in (patterns or {}).items():
            if not name or set(name) - set(_NAME):
                raise ValueError(f"group {name!r}: want a name of letters, digits, - and _")
            if not isinstance(given, (list, tuple)) or not given or not all(isinstance(p, str) and p for p in given):
                raise ValueError(f'group {name!r}: want a list of entity names, * allowed, such as ["db-*"]')
            self._patterns[name] = tuple(given)
        self._known: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def of(self, entity: str) -> str:
        group = self._known.get(entity)
        if group is None:
            found = (n for n, ps in self._patterns.items() if any(fits(entity, p) for p in ps))
            group = self._known[entity] = next(found, REST)
        return group


_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
