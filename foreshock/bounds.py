"""What a number, a list or an address of the configuration may be, beyond its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.errors import SettingsError

_AT_LEAST = {
    "broker.partitions": 1,
    "broker.replication": 0,
    "broker.retention_bytes": 1,
    "alerts.windows": 1,
    "limits.body": 1,
    "limits.series": 1,
    "limits.series_per_entity": 1,
    "limits.samples_per_s": 0,
    "limits.pending": 1,
    "limits.subscribers": 1,
}
_NOT_EMPTY = ("windows.rollups", "models.horizons", "models.kinds", "entities.labels", "alerts.group_by")
_SCHEMES = {
    "broker.url": ("embedded:///DIR", "kafka://host:9092"),
    "store.url": ("embedded:///DIR", "clickhouse://user:password@host:9000/database"),
}


def check_bounds(settings: Any, where: Callable[[str], str]) -> None:
    """Raise SettingsError, which names the key, and the place that ``where`` tells of it."""

    def got(key: str) -> Any:
        section, _, name = key.partition(".")
        return getattr(getattr(settings, section), name)

    def refuse(key: str, want: str, shown: Any) -> None:
        name = "for" if key == "alerts.windows" else key.partition(".")[2]
        raise SettingsError(f"cannot use {key.partition('.')[0]}.{name}={shown!r}{where(name)}: want {want}")

    for key, least in _AT_LEAST.items():
        if got(key) < least:
            refuse(key, f"{least} or more", got(key))
    if not settings.models.alarms_per_day > 0:
        refuse("models.alarms_per_day", "a number above 0", settings.models.alarms_per_day)
    for key in _NOT_EMPTY:
        if not got(key) or not all(isinstance(item, str) and item for item in got(key)):
            refuse(key, "one text or more in a list", got(key))
    models, rollups = settings.models, settings.windows.rollups
    if models.rollups != type(models)().rollups and (
        unknown := [name for name in models.rollups if name not in rollups]
    ):
        refuse("models.rollups", f"some of windows.rollups, {', '.join(rollups)}", unknown[0])
    for key, schemes in _SCHEMES.items():
        url = got(key)
        if url and not url.startswith(tuple(scheme.partition("//")[0] + "//" for scheme in schemes)):
            # The URL of a store holds its password: what stands before :// is told alone.
            refuse(key, " or ".join(schemes), url.partition("://")[0])
