"""Typed configuration from one TOML file and the environment; every key optional, unknown keys refused by name."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from foreshock.bounds import check_bounds
from foreshock.environment import from_environment, refuse_unknown
from log.kafka_options import KafkaOptions
from schemas.errors import SettingsError
from store.base import ServerOptions

FOR_EVER = "forever"
NOT_KEPT = "none"  # of raw samples only
# The finer, the sooner forgotten; what is not named here is kept for ever.
RETENTION = {"samples": "7d", "10s": "30d", "1m": "90d", "5m": "400d", "5m/1m": "90d"}
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def duration_ms(text: str) -> int:
    """Return milliseconds of ``5s``, ``250ms``, ``7d``; raises ValueError.

    >>> duration_ms("5s")
    5000
    """
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d|w)", text.strip())
    if not found:
        raise ValueError(f"{text!r} is no duration; want a number and one of ms s m h d w, such as 5s")
    return int(found[1]) * _UNITS_MS[found[2]]


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return the per-user data folder (XDG base directories)."""
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local" / "share")
    return Path(base) / "foreshock"


@dataclass(frozen=True)
class Broker:
    url: str = ""  # empty: embedded, below the data folder
    partitions: int = 1  # of the topics that are split by entity; more only pays with more workers
    replication: int = 0  # of topics that Foreshock makes on Kafka; 0: as many as there are brokers, at most three
    retention: str = "7d"  # of the log: how long the store may be away
    retention_bytes: int = 10 << 30  # of the embedded log: more is kept only while it is needed
    username: str = ""  # SASL; empty for none
    password: str = field(default="", repr=False)
    mechanism: str = "SCRAM-SHA-512"  # or SCRAM-SHA-256, PLAIN
    tls: bool = False
    tls_ca: str = ""  # PEM file; empty: the system's authorities
    tls_cert: str = ""  # PEM files of the client, where the broker wants one
    tls_key: str = ""

    @property
    def kafka(self) -> KafkaOptions:
        """Return how a cluster is reached; raises SettingsError."""
        return KafkaOptions(
            replication=self.replication,
            retention_ms=duration_ms(self.retention),
            username=self.username,
            password=self.password,
            mechanism=self.mechanism,
            tls=self.tls,
            ca=self.tls_ca,
            cert=self.tls_cert,
            key=self.tls_key,
        )


@dataclass(frozen=True)
class StoreSettings:
    url: str = ""
    cluster: str = ""  # of ClickHouse, whose shards and replicas hold the tables; empty: one server
    tls: bool = False
    tls_ca: str = ""  # PEM file; empty: the system's authorities

    @property
    def server(self) -> ServerOptions:
        """Return how a server is reached; raises SettingsError."""
        return ServerOptions(self.cluster, self.tls, self.tls_ca)


@dataclass(frozen=True)
class Windows:
    rollups: list[str] = field(default_factory=lambda: ["10s", "1m", "5m", "5m/1m", "1h", "1d", "1w", "1mo"])
    lateness: str = "5s"
    timezone: str = "UTC"
    retention: dict[str, str] = field(default_factory=dict)

    @property
    def lateness_ms(self) -> int:
        return duration_ms(self.lateness)

    @property
    def retention_s(self) -> dict[str, int | None]:
        """Return how many seconds each rollup, and raw ``samples``, are kept; None: for ever."""
        kept = {name: text for name, text in RETENTION.items() if name == "samples" or name in self.rollups}
        given = kept | self.retention
        kept_s = {FOR_EVER: None, NOT_KEPT: 0}
        return {name: kept_s[t] if t in kept_s else duration_ms(t) // 1000 for name, t in given.items()}


@dataclass(frozen=True)
class Entities:
    labels: list[str] = field(default_factory=lambda: ["host", "instance", "service"])


@dataclass(frozen=True)
class Models:
    rollups: list[str] = field(default_factory=lambda: ["10s", "1m"])
    alarms_per_day: float = 1.0
    horizons: list[str] = field(default_factory=lambda: ["5m", "30m", "2h"])
    seed: int = 0
    kinds: list[str] = field(default_factory=lambda: ["logistic", "knn", "lstm"])  # the first is always on
    groups: dict[str, list[str]] = field(default_factory=dict)  # name = ["db-*"]: entities that share their models
    runbook: str = ""  # a TOML file of the team's actions, see README


@dataclass(frozen=True)
class Periods:
    country: str = ""  # ISO code whose public holidays are the period "holiday"
    # [[periods.named]] name with from and to (first and last day), or with days, start and end (weekly)
    named: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Alerts:
    windows: int = 3  # consecutive flagged windows raise an alert, as many clear ones resolve it; "for" means the same
    group_by: list[str] = field(default_factory=lambda: ["entity"])  # of entity, rollup, period, severity
    group_wait: str = "5s"
    give_up: str = "24h"
    page_url: str = ""  # where the page is, for links in alerts
    targets: list[dict[str, Any]] = field(default_factory=list)  # [[alerts.targets]] name, kind, url, secret
    depends: dict[str, list[str]] = field(default_factory=dict)  # entity = ["its cause", …], * allowed in causes
    maintenance: list[dict[str, Any]] = field(default_factory=list)  # [[alerts.maintenance]] entities, from, to


@dataclass(frozen=True)
class Auth:
    tokens: list[str] = field(default_factory=list)  # as printed by `foreshock token`: name:scopes:sha256
    tokens_file: str = ""  # such lines in a file, which is read again when it changes
    behind_proxy: bool = False  # a TLS proxy in front checks who comes in
    hosts: list[str] = field(default_factory=list)  # names it is asked by; empty: see access.answered_names
    tls_cert: str = ""  # PEM files: certificate chain and key; https then
    tls_key: str = ""


@dataclass(frozen=True)
class Limits:
    body: int = 16 * 1024 * 1024
    future: str = "10m"
    series: int = 1_000_000
    series_per_entity: int = 10_000
    samples_per_s: int = 0  # of one token; 0: as many as the machine takes
    pending: int = 256 * 1024 * 1024  # bytes of request bodies that are worked on at once
    subscribers: int = 20_000  # live websockets of one process


@dataclass(frozen=True)
class Collect:
    interval: str = "1s"


@dataclass(frozen=True)
class Metrics:
    address: str = ""  # host:port where roles without an API answer /metrics, /healthz and /readyz; empty: nowhere


@dataclass(frozen=True)
class Settings:
    broker: Broker = field(default_factory=Broker)
    store: StoreSettings = field(default_factory=StoreSettings)
    windows: Windows = field(default_factory=Windows)
    entities: Entities = field(default_factory=Entities)
    models: Models = field(default_factory=Models)
    periods: Periods = field(default_factory=Periods)
    alerts: Alerts = field(default_factory=Alerts)
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    collect: Collect = field(default_factory=Collect)
    metrics: Metrics = field(default_factory=Metrics)

    def with_data_dir(self, data: Path) -> Settings:
        """Return settings whose empty broker and store addresses lie below ``data``."""
        return replace(
            self,
            broker=replace(self.broker, url=self.broker.url or f"embedded://{data / 'log'}"),
            store=replace(self.store, url=self.store.url or f"embedded://{data / 'store'}"),
        )


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a TOML file, None for defaults, overlaid by ``FORESHOCK_SECTION_KEY``.

    Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    text, table = "", {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
            table = tomllib.loads(text)
        except OSError as error:
            raise SettingsError(f"cannot read configuration {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read configuration {path}: {error}") from error
    settings = Settings()
    for section in fields(Settings):
        current = getattr(settings, section.name)
        given = table.pop(section.name, {})
        if not isinstance(given, dict):
            raise SettingsError(f"cannot use {section.name}={given!r}{_line(text, section.name)}: want a [table]")
        current = _overlay(current, given, section.name, text)
        aliases = {new: old for (of, old), new in _ALIASES.items() if of == section.name}
        current = from_environment(current, section.name, environ, aliases)
        settings = replace(settings, **{section.name: current})
    for unknown in table:
        known = ", ".join(f.name for f in fields(Settings))
        raise SettingsError(f"unknown configuration section {unknown!r}{_line(text, unknown)}: want one of {known}")
    refuse_unknown(environ, _keys())
    _check(settings, text)
    return settings


_ALIASES = {("alerts", "for"): "windows"}
_TYPES = {
    str: 'a text in quotes, such as "5s"',
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: 'a list, such as ["a", "b"]',
    dict: "a [table]",
}


def _keys() -> dict[str, list[str]]:
    """Return the keys of each section, every spelling."""
    out = {section.name: [f.name for f in fields(getattr(Settings(), section.name))] for section in fields(Settings)}
    for name, spelling in _ALIASES:
        out[name].append(spelling)
    return out


def _overlay(section: Any, given: Mapping[str, Any], name: str, text: str) -> Any:
    known = {f.name: getattr(section, f.name) for f in fields(section)}
    for key, value in given.items():
        where = _line(text, key)
        key = _ALIASES.get((name, key), key)
        if key not in known:
            raise SettingsError(f"unknown configuration key {name}.{key}{where}: want one of {', '.join(known)}")
        want = type(known[key])
        if want is float and type(value) is int:
            value = float(value)
        if type(value) is not want:
            raise SettingsError(f"cannot use {name}.{key}={value!r}{where}: want {_TYPES[want]}")
        section = replace(section, **{key: value})
    return section


def _check(settings: Settings, text: str) -> None:
    check_bounds(settings, lambda key: _line(text, key))
    checks = [("lateness", settings.windows.lateness), ("future", settings.limits.future)]
    checks += [("group_wait", settings.alerts.group_wait), ("give_up", settings.alerts.give_up)]
    checks += [("interval", settings.collect.interval), ("retention", settings.broker.retention)]
    checks += [("horizons", horizon) for horizon in settings.models.horizons]
    for key, value in checks:
        try:
            duration_ms(value)
        except ValueError as error:
            raise SettingsError(f"cannot use {key}{_line(text, key)}: {error}") from error
    _ = settings.broker.kafka, settings.store.server
    if wrong_kinds := set(settings.models.kinds) - {"logistic", "knn", "lstm"}:
        where = _line(text, "kinds")
        raise SettingsError(f"cannot use models.kinds={min(wrong_kinds)!r}{where}: want some of logistic, knn, lstm")
    labels = ("entity", "rollup", "period", "severity")
    if wrong := [label for label in settings.alerts.group_by if label not in labels]:
        where = _line(text, "group_by")
        raise SettingsError(f"cannot use alerts.group_by={wrong[0]!r}{where}: want some of {', '.join(labels)}")
    if not all(isinstance(c, list) and all(isinstance(e, str) for e in c) for c in settings.alerts.depends.values()):
        raise SettingsError(f'cannot use alerts.depends{_line(text, "depends")}: want entity = ["cause", …]')
    for rollup in settings.windows.rollups:
        if not re.fullmatch(r"[1-9]\d*(s|m|h|d|w|mo)(/[1-9]\d*(s|m|h|d))?", rollup):
            raise SettingsError(
                f"cannot use windows.rollups={rollup!r}{_line(text, 'rollups')}: want e.g. 10s or 5m/1m"
            )
    for name, value in settings.windows.retention.items():
        where = _line(text, name) or _line(text, "retention")
        if name != "samples" and name not in settings.windows.rollups:
            known = ", ".join(["samples", *settings.windows.rollups])
            raise SettingsError(f"cannot use windows.retention.{name}{where}: no such rollup; want one of {known}")
        try:
            kept = value == FOR_EVER or (name, value) == ("samples", NOT_KEPT) or duration_ms(value) >= 1000
        except (ValueError, AttributeError, TypeError):
            kept = False
        if not kept:
            raise SettingsError(
                f"cannot use windows.retention.{name}={value!r}{where}: want 1s or more, such as 30d, or {FOR_EVER}"
            )
    try:
        ZoneInfo(settings.windows.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        got = settings.windows.timezone
        raise SettingsError(f"cannot use windows.timezone={got!r}{_line(text, 'timezone')}: unknown zone") from error


def _line(text: str, key: str) -> str:
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*\[?\s*{re.escape(key)}\b", line):
            return f" (line {number})"
    return ""
