"""The commands that ask a running server: query and incidents."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx

from foreshock.settings import default_data_dir
from schemas.errors import ForeshockError

_DEFAULT_URL = "http://127.0.0.1:8080"
data_option = click.option("--data", "data", type=click.Path(path_type=Path), help="Data folder of the process.")
token_option = click.option("--token", envvar="FORESHOCK_TOKEN", help="Bearer token, where the server asks for one.")


def url_option(command: Any) -> Any:
    """``--url``, or the address of the process that runs on ``--data``."""
    text = f"A running server; default: that of the data folder, or {_DEFAULT_URL}."
    command = click.option("--url", help=text)(command)
    return data_option(command)


def address_of(url: str | None, data: Path | None) -> str:
    address = (data or default_data_dir(os.environ)) / "address"
    if url is None and address.exists():
        return address.read_text(encoding="utf-8").strip()
    return (url or _DEFAULT_URL).rstrip("/")


@click.command()
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
    url: str | None,
    data: Path | None,
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
    response = httpx.get(f"{address_of(url, data)}/api/v1/range", params=parameters, headers=headers, timeout=60)
    if response.status_code != 200:
        raise ForeshockError(f"cannot query: the server answered {response.status_code}: {response.text[:300]}")
    if shape != "table":
        click.echo(response.text.rstrip("\n"))
        return
    answer = response.json()
    click.echo("  ".join(answer["labels"]))
    for row in answer["data"]:
        click.echo("  ".join("-" if v is None else f"{v:g}" if i else str(v) for i, v in enumerate(row)))


@click.group()
def incidents() -> None:
    """List, add or import the incidents that models learn from."""


def _ask(
    method: str,
    url: str | None,
    data: Path | None,
    token: str | None,
    *,
    content: bytes | None = None,
    content_type: str = "application/json",
    query: str = "",
) -> httpx.Response:
    headers = {"Content-Type": content_type} | ({"Authorization": f"Bearer {token}"} if token else {})
    address = f"{address_of(url, data)}/api/v1/incidents{query}"
    response = httpx.request(method, address, headers=headers, content=content, timeout=60)
    if response.status_code not in (200, 201):
        raise ForeshockError(f"the server answered {response.status_code}: {response.text[:300]}")
    return response


def told(url: str | None, data: Path | None, token: str | None) -> Iterator[dict[str, Any]]:
    """Yield every incident, the newest first; raises ForeshockError."""
    query = ""
    while True:
        answer = _ask("GET", url, data, token, query=query)
        yield from answer.json()
        if "next" not in answer.links:
            break
        query = "?" + answer.links["next"]["url"].partition("?")[2]


@incidents.command("list")
@url_option
@token_option
def list_incidents(url: str | None, data: Path | None, token: str | None) -> None:
    """Print every incident as a line of JSON, the newest first."""
    for incident in told(url, data, token):
        click.echo(json.dumps(incident))


@incidents.command("add")
@url_option
@token_option
@click.argument("entity")
@click.option("--start", required=True, help="Epoch ms, RFC 3339 or -10m.")
@click.option("--end", help="Not given: it is still open.")
@click.option("--title", default="")
@click.option("--resolution", default="")
@click.option("--external-id", default="")
def add_incident(url: str | None, data: Path | None, token: str | None, **fields: str | None) -> None:
    """Tell of one incident."""
    click.echo(
        _ask("POST", url, data, token, content=json.dumps({k: v for k, v in fields.items() if v}).encode()).json()["id"]
    )


@incidents.command("import")
@url_option
@token_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_incidents(url: str | None, data: Path | None, token: str | None, file: Path) -> None:
    """Import a CSV file with a header line, or JSON: a list, or an object a line; fields as the API takes them."""
    kind = "text/csv" if file.suffix == ".csv" else "application/json"
    said = _ask("POST", url, data, token, content=file.read_bytes(), content_type=kind).json()
    rejected = said.get("rejected", [])
    click.echo(f"imported {said.get('accepted', 1)}", err=True)
    for one in rejected[:20]:
        click.echo(f"cannot import row {one['index'] + 1} of {file}: {one['error']}", err=True)
    if rejected:
        raise ForeshockError(f"{len(rejected)} rows of {file} were left out")
