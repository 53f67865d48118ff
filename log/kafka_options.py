"""How a Kafka cluster is reached, and what the topics that Foreshock makes there are like."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import SettingsError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
RETENTION_MS = 7 * 86_400_000


@dataclass(frozen=True)
class KafkaOptions:
    """replication : of topics that are made; 0: as many as there are brokers, at most three.

    retention_ms : how long those keep records; the store must not be away for longer.
    username : empty for no SASL. tls : encrypt; ``ca`` a PEM file, empty for the system's authorities; ``cert`` and
    ``key`` PEM files of the client, where the broker wants one.
    """

    replication: int = 0
    retention_ms: int = RETENTION_MS
    username: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = "SCRAM-SHA-512"
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise SettingsError(f"cannot use broker.mechanism={self.mechanism!r}: want one of {', '.join(MECHANISMS)}")
        if self.username and not self.password:
            raise SettingsError("cannot use broker.username without broker.password: set both")
        if bool(self.cert) != bool(self.key):
            raise SettingsError("cannot use broker.tls_cert without broker.tls_key, nor the other way round: set both")
        if not self.tls and (self.ca or self.cert):
            raise SettingsError("cannot use broker.tls_ca or broker.tls_cert without broker.tls=true: set it")

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, None without TLS; raises SettingsError."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:  # ssl.SSLError is one
            named = self.ca or "the system's authorities"
            raise SettingsError(
                f"cannot use broker.tls_ca={named!r} and broker.tls_cert={self.cert!r}: {error}"
            ) from error
        return context

    def client(self) -> dict[str, Any]:
        """Return what aiokafka's clients take; raises SettingsError."""
        protocol = ("SASL_" if self.username else "") + ("SSL" if self.tls else "PLAINTEXT")
        out: dict[str, Any] = {"security_protocol": protocol, "ssl_context": self.context()}
        if self.username:
            out |= {"sasl_mechanism": self.mechanism}
            out |= {"sasl_plain_username": self.username, "sasl_plain_password": self.password}
        return out

    def credentials(self) -> Any:
        """Return what Faust takes as ``broker_credentials``, None for neither TLS nor SASL; raises SettingsError."""
        import faust

        context = self.context()
        if self.username:
            said = {"username": self.username, "password": self.password, "mechanism": self.mechanism}
            return faust.SASLCredentials(**said, ssl_context=context)
        return faust.SSLCredentials(context) if context else None
