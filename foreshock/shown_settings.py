"""The settings as ``GET /api/v1/settings`` shows them: what each means, what it is, secrets masked."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

from foreshock.settings import Settings

MASK = "•••"
_SECRET = re.compile(r"secret|password|token|key|credential", re.IGNORECASE)

MEANINGS = {
    "broker.url": "Where the log is: embedded://, or kafka://host:9092. Empty: below the data folder.",
    "broker.partitions": "How many parts topics that are split by entity have; more pays only with more workers.",
    "broker.replication": "How many copies Kafka keeps of topics that Foreshock makes; 0: one a broker, at most three.",
    "broker.retention": "How long the log keeps what was written, and so how long the store may be away.",
    "broker.retention_bytes": "How many bytes the embedded log keeps; what is still needed is kept beyond it.",
    "broker.username": "Who signs in to Kafka (SASL); empty: nobody.",
    "broker.password": "With what.",
    "broker.mechanism": "How it signs in: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.",
    "broker.tls": "Whether Kafka is spoken to by TLS.",
    "broker.tls_ca": "Whose certificates are trusted, a PEM file; empty: the system's authorities.",
    "broker.tls_cert": "Our own certificate, where the broker wants one.",
    "broker.tls_key": "Its key.",
    "store.url": "Where rollups and verdicts are kept: embedded://, or clickhouse://. Empty: below the data folder.",
    "store.cluster": "The ClickHouse cluster whose shards and replicas hold the tables; empty: one server.",
    "store.tls": "Whether ClickHouse is spoken to by TLS, on its secure port.",
    "store.tls_ca": "Whose certificates are trusted, a PEM file; empty: the system's authorities.",
    "windows.rollups": "The windows that samples are rolled up into; 5m/1m hops: 5 minutes long, one a minute.",
    "windows.lateness": "How far behind the newest event time a window stays open; later samples correct it.",
    "windows.timezone": "Whose days, weeks and months the long windows follow, and traffic periods.",
    "windows.retention": "How long each rollup, and raw samples, are kept.",
    "entities.labels": "Which label names the entity, in what other systems write: the first that is there.",
    "models.rollups": "Which rollups get verdicts.",
    "models.alarms_per_day": "The budget of false alarms a day and entity, which sets where flags begin.",
    "models.horizons": "How far ahead p_incident looks; the middle one is shown alone.",
    "models.kinds": "Which kinds of models learn side by side; logistic is always on, lstm needs JAX.",
    "models.groups": "Entities that share their models, by name pattern.",
    "models.seed": "What random choices of the models begin from.",
    "models.runbook": "The TOML file of the team's own actions, recommended when their signs speak for the score.",
    "periods.country": "Whose public holidays are the traffic period holiday.",
    "periods.named": "Traffic periods of your own, which get models of their own.",
    "alerts.windows": "So many flagged windows in a row raise an alert, as many clear ones resolve it (alerts.for).",
    "alerts.group_by": "Alerts that agree in these labels are told together.",
    "alerts.group_wait": "How long a group waits for more before it is told.",
    "alerts.give_up": "How long a target that does not take a notification is tried.",
    "alerts.page_url": "Where this page is, for links in alerts.",
    "alerts.targets": "Who is told.",
    "alerts.depends": "While one of these causes fires, the entity's alert is held back.",
    "alerts.maintenance": "When alerts of these entities are held back.",
    "auth.tokens": "Who may come in: names and scopes; of the secrets only hashes are kept.",
    "auth.tokens_file": "A file of such tokens, read again when it changes.",
    "auth.behind_proxy": "A TLS proxy in front checks who comes in.",
    "auth.hosts": "The names that the API is asked by, * allowed; empty: on loopback without tokens those of loopback.",
    "auth.tls_cert": "The certificate chain that https is answered with.",
    "auth.tls_key": "Its key.",
    "limits.body": "The largest body of a request, bytes, after decompression.",
    "limits.future": "Samples further ahead of our clock are refused.",
    "limits.series": "How many series may exist.",
    "limits.series_per_entity": "How many series one entity may have.",
    "limits.samples_per_s": "Samples a second that one token may write; 0: as many as the machine takes.",
    "limits.subscribers": "How many live websockets one process takes.",
    "limits.pending": "Bytes of request bodies that are worked on at once.",
    "collect.interval": "How often this machine's own vital signs are read.",
    "metrics.address": "Where roles without an API answer /metrics, /healthz and /readyz, host:port; empty: nowhere.",
}


def shown_settings(settings: Settings) -> list[dict[str, Any]]:
    """Return a row a key: ``key``, ``environment``, ``value``, ``default``, ``set`` (not the default), ``means``."""
    plain, out = Settings(), []
    for section in fields(Settings):
        current, default = getattr(settings, section.name), getattr(plain, section.name)
        for f in fields(current):
            key, value, without = f"{section.name}.{f.name}", getattr(current, f.name), getattr(default, f.name)
            out.append(
                {
                    "key": key,
                    "environment": f"FORESHOCK_{section.name}_{f.name}".upper(),
                    "value": masked(key, value),
                    "default": without,
                    "set": value != without,
                    "means": MEANINGS.get(key, ""),
                }
            )
    return out


def masked(key: str, value: Any) -> Any:
    """Return the value without what would let a reader in: passwords in addresses, secrets, hashes of tokens.

    >>> masked("store.url", "clickhouse://me:pass@host:9000/db")
    'clickhouse://me:•••@host:9000/db'
    """
    if key == "auth.tokens":
        return [":".join([*line.split(":")[:2], MASK]) for line in value]
    if value and key.endswith((".password", ".secret")):
        return MASK
    if isinstance(value, dict):
        return {name: MASK if _secret(name, inner) else masked(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(key, inner) for inner in value]
    if isinstance(value, str) and "://" in value:
        # A hook's path and query are its secret where the service has no other (Slack).
        return _address(value, whole=key in ("broker.url", "store.url", "alerts.page_url"))
    return value


def _secret(name: str, value: Any) -> bool:
    return bool(value) and not isinstance(value, dict | list) and bool(_SECRET.search(name))


def _address(text: str, *, whole: bool) -> str:
    parts = urlsplit(text)
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    netloc = f"{user}{colon and ':' + MASK}{at}{host}"
    if whole:
        return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{MASK}" if parts.query else "")
    return f"{parts.scheme}://{netloc}" + (f"/{MASK}" if parts.path.strip("/") or parts.query else "")
