"""Notes in the table ``applied``: what of the configuration was made to hold in this store, a text a name."""

from __future__ import annotations

from store.base import Store


def applied(store: Store, name: str) -> str | None:
    """Return what was noted last under a name; None: nothing was."""
    found = store.select("SELECT value FROM applied FINAL WHERE name = {name:String}", {"name": name})["value"]
    return found[0] if found else None


def note_applied(store: Store, name: str, value: str, now_ms: int) -> None:
    """Note a text under a name in place of what was there."""
    store.insert("applied", {"name": [name], "value": [value], "applied_ms": [now_ms]})
