"""The console script. Exit status: 0 well, 1 failed, 2 wrong usage; messages go to stderr."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
import httpx

from foreshock import __version__
from foreshock.settings import Settings, default_data_dir, load
from schemas.errors import ForeshockError, SettingsError

_DEFAULT_URL = "http://127.0.0.1:8080"
config_option = click.option("--config", "config", type=click.Path(path_type=Path), help="TOML file.")
data_option = click.option("--data", "data", type=click.Path(path_type=Path), help="Data folder.")
url_option = click.option("--url", default=_DEFAULT_URL, show_default=True, help="A running server.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="foreshock")
def cli() -> None:
    """Foreshock: told, with reasons and a next step, that an incident is about to begin."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


def _settings(config: Path | None, data: Path | None) -> tuple[Settings, Path]:
    folder = data or default_data_dir(os.environ)
    return load(config).with_data_dir(folder.resolve()), folder.resolve()


@cli.command()
@data_option
@config_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--no-collect", is_flag=True, help="Do not collect this machine's vital signs.")
def up(data: Path | None, config: Path | None, host: str, port: int, no_collect: bool) -> None:
    """Run the whole product in one process, on embedded parts."""
    from foreshock.roles import API, COLLECT, STREAM

    _run(data, config, {STREAM, API} | (set() if no_collect else {COLLECT}), host, port)


def _run(data: Path | None, config: Path | None, roles: set[str], host: str = "127.0.0.1", port: int = 8080) -> None:
    from foreshock.roles import Process

    settings, folder = _settings(config, data)
    if len(roles) == 1 and not settings.broker.url.startswith("kafka://"):
        raise SettingsError(
            f"cannot run one role on broker.url={settings.broker.url!r}: the embedded log has one process; "
            "set broker.url (FORESHOCK_BROKER_URL) to kafka://host:9092, or run `foreshock up`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(Process(settings, frozenset(roles), data=folder, host=host, port=port).run())


@cli.command()
@data_option
@config_option
def stream(data: Path | None, config: Path | None) -> None:
    """Run a stream worker of the distributed deployment; any number of them share the partitions."""
    _run(data, config, {"stream"})


@cli.command()
@data_option
@config_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
def api(data: Path | None, config: Path | None, host: str, port: int) -> None:
    """Serve API and page of the distributed deployment, any number of processes."""
    _run(data, config, {"api"}, host, port)


@cli.command()
@data_option
@config_option
def collect(data: Path | None, config: Path | None) -> None:
    """Collect this machine's vital signs into the distributed deployment."""
    _run(data, config, {"collect"})


@cli.command()
@data_option
@config_option
def check(data: Path | None, config: Path | None) -> None:
    """Read the configuration, reach broker and store, say what is wrong and where."""
    from log.open import open_log
    from store.base import open_store

    settings, _ = _settings(config, data)

    async def reach() -> None:
        log = open_log(settings.broker.url)
        await log.start()
        await log.stop()
        click.echo(f"broker {settings.broker.url}: well", err=True)
        store = open_store(settings.store.url)
        store.open()
        store.close()
        click.echo("store: well", err=True)

    click.echo("configuration: well", err=True)
    asyncio.run(reach())


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield samples of a CSV (entity,metric,timestamp,value; other columns are labels), NDJSON or Parquet file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        for part in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from part.to_pylist()
    elif path.suffix in (".ndjson", ".jsonl", ".json"):
        with path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    else:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                base = {name: row.pop(name) for name in ("entity", "metric", "timestamp", "value") if name in row}
                at = base.get("timestamp", "")
                yield {
                    **base,
                    "timestamp": int(at) if at.isdigit() else at,
                    "value": float(base["value"]),
                    "labels": row,
                }


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Times real time; default: at full speed.")
@click.option("--token", envvar="FORESHOCK_TOKEN", help="Bearer token with the scope write.")
def replay(files: tuple[Path, ...], url: str, speed: float | None, token: str | None) -> None:
    """Feed CSV, NDJSON or Parquet history through the same path, event time kept."""
    from tqdm import tqdm

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    accepted = rejected = 0
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for path in files:
            rows, began, first = _rows(path), time.monotonic(), None
            with tqdm(desc=path.name, unit=" samples", file=sys.stderr) as bar:
                while part := list(islice(rows, 5000)):
                    if speed:
                        at = _epoch_ms(part[-1]["timestamp"])
                        first = first if first is not None else _epoch_ms(part[0]["timestamp"])
                        time.sleep(max(0.0, began + (at - first) / 1000 / speed - time.monotonic()))
                    answer = _send(client, part)
                    accepted += answer["accepted"]
                    rejected += len(answer["rejected"])
                    bar.update(len(part))
                    for item in answer["rejected"][:3]:
                        click.echo(f"{path.name}: {item['error']}", err=True)
    click.echo(f"accepted {accepted}, rejected {rejected}", err=True)
    if rejected:
        raise SystemExit(1)


def _send(client: httpx.Client, part: list[dict[str, Any]]) -> dict[str, Any]:
    while True:
        response = client.post("/api/v1/samples", json={"samples": part})
        if response.status_code in (429, 503):
            time.sleep(float(response.headers.get("Retry-After", "1")))
            continue
        if response.status_code != 202:
            raise ForeshockError(f"cannot replay: the server answered {response.status_code}: {response.text[:300]}")
        return response.json()


def _epoch_ms(value: int | str) -> int:
    from datetime import datetime

    return int(value) if isinstance(value, int) else int(datetime.fromisoformat(value).timestamp() * 1000)


@cli.command()
@url_option
@click.option("--from", "from_", default="-1h", show_default=True)
@click.option("--to", default="now", show_default=True)
@click.option("--entity", multiple=True)
@click.option("--metric", multiple=True)
@click.option("--stat", default="mean", show_default=True)
@click.option("--rollup", default="auto", show_default=True)
@click.option("--points", default=1000, show_default=True)
@click.option("--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--token", envvar="FORESHOCK_TOKEN")
def query(
    url: str,
    from_: str,
    to: str,
    entity: tuple[str, ...],
    metric: tuple[str, ...],
    stat: str,
    rollup: str,
    points: int,
    shape: str,
    token: str | None,
) -> None:
    """Ask the range query from the terminal."""
    parameters: list[tuple[str, str | int | float | bool | None]] = [
        ("from", from_),
        ("to", to),
        ("stat", stat),
        ("rollup", rollup),
    ]
    parameters += [("points", str(points))]
    parameters += [("entity", e) for e in entity] + [("metric", m) for m in metric]
    if shape == "csv":
        parameters.append(("format", "csv"))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = httpx.get(f"{url}/api/v1/range", params=parameters, headers=headers, timeout=60)
    if response.status_code != 200:
        raise ForeshockError(f"cannot query: the server answered {response.status_code}: {response.text[:300]}")
    if shape != "table":
        click.echo(response.text.rstrip("\n"))
        return
    answer = response.json()
    click.echo("  ".join(answer["labels"]))
    for row in answer["data"]:
        click.echo("  ".join("-" if v is None else f"{v:g}" if i else str(v) for i, v in enumerate(row)))


@cli.command()
@click.argument("name")
@click.option("--scope", default="read", show_default=True, help="Of read, write, admin; comma-separated.")
def token(name: str, scope: str) -> None:
    """Make a token; it is printed once, the configuration keeps its hash."""
    wrong = set(scope.split(",")) - {"read", "write", "admin"}
    if wrong or ":" in name:
        raise click.BadParameter(f"cannot use name {name!r}, scope {scope!r}; want scopes of read,write,admin")
    secret = secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    click.echo(secret)
    click.echo(f'add to foreshock.toml: [auth] tokens = ["{name}:{scope.replace(",", "+")}:{digest}"]', err=True)


def main() -> None:
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(1)
    except (ForeshockError, OSError, httpx.HTTPError) as error:
        click.echo(f"foreshock: {error}", err=True)
        sys.exit(1)
