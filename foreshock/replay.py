"""``foreshock replay``: feeds files through a running server's own door, event time kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec

from foreshock.client import address_of, url_option
from foreshock.history import Sample, samples_of, time_of
from foreshock.rehearse import verdict_lines
from schemas.errors import ForeshockError

SAMPLES_A_REQUEST = 5000
NAMED_MAX = 3  # what was rejected is named so often a file, and counted always
_STEP_S = 0.25  # with --speed, a request spans at most so much of our time


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option
@click.option(
    "--from-data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A stopped embedded data folder, moved to the broker and store of the configuration.",
)
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For --from-data.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Times real time; default: at full speed.")
@click.option(
    "--verdicts", nargs=2, metavar="FROM TO", help="Print the verdicts of a past interval through --model, a line each."
)
@click.option("--model", help="For --verdicts: an id of GET /api/v1/models; default: those that answer now, of 1m.")
@click.option(
    "--as-of", metavar="TIME", help="For --verdicts: models as they were, by the version kept last until then."
)
@click.option("--token", envvar="FORESHOCK_TOKEN", help="Bearer token; scope write, for --verdicts read.")
def replay(
    files: tuple[Path, ...],
    url: str | None,
    data: Path | None,
    from_data: Path | None,
    config: Path | None,
    speed: float | None,
    verdicts: tuple[str, str] | None,
    model: str | None,
    as_of: str | None,
    token: str | None,
) -> None:
    """Feed CSV, NDJSON or Parquet history through the same path, event time kept.

    With --verdicts nothing is fed: stored windows go through a model as it is stored, which learns nothing of them, and
    twice the same snapshot gives the same bytes; one of each of the last thirty days is kept for --as-of. Windows that
    came after the snapshot get the verdicts that they got live, until the models learned again; for earlier ones what
    was usual is made anew from the day before FROM, so their verdicts are this model's, not those that were given then.
    """
    if [bool(files), bool(from_data), bool(verdicts)].count(True) != 1:
        raise click.UsageError("want one of FILES, --from-data DIR and --verdicts FROM TO")
    if verdicts:
        asked = {"from": verdicts[0], "to": verdicts[1]} | ({"model": model} if model else {})
        asked |= {"as_of": as_of} if as_of else {}
        for line in verdict_lines(url, data, token, asked):
            click.echo(line)
        return
    if from_data is not None:
        from foreshock.move import run_move

        run_move(from_data, config)
        return
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    accepted = rejected = 0
    with httpx.Client(base_url=address_of(url, data), headers=headers, timeout=60) as client:
        for path in files:
            taken, refused = _replay(client, path, speed)
            accepted, rejected = accepted + taken, rejected + refused
    click.echo(f"accepted {accepted}, rejected {rejected}", err=True)
    if rejected:
        raise SystemExit(1)


def _replay(client: httpx.Client, path: Path, speed: float | None) -> tuple[int, int]:
    """Send a file, the next request read while one is answered; return how many samples were accepted and rejected."""
    from tqdm import tqdm

    accepted = rejected = named = 0
    sending: Future[dict[str, Any]] | None = None
    bar = tqdm(total=path.stat().st_size, desc=path.name, unit="B", unit_scale=True, file=sys.stderr)
    with bar, ThreadPoolExecutor(1) as sender:
        for part in chain(_paced(samples_of(path, bar.update), speed), [None]):
            if sending is not None:
                answer = sending.result()
                accepted, rejected = accepted + answer["accepted"], rejected + len(answer["rejected"])
                for item in answer["rejected"][: max(0, NAMED_MAX - named)]:
                    bar.write(f"{path.name}: {item['error']}", file=sys.stderr)
                    named += 1
                bar.set_postfix(samples=accepted, refresh=False)
            sending = sender.submit(_send, client, part) if part else None
    return accepted, rejected


def _paced(samples: Iterator[Sample], speed: float | None) -> Iterator[list[Sample]]:
    """Yield requests: as large as they may be, or, with ``speed``, when their first sample's time has come."""
    if speed is None:
        while part := list(islice(samples, SAMPLES_A_REQUEST)):
            yield part
        return
    part, began, first_ms, until_ms = [], time.monotonic(), None, 0.0
    for sample in samples:
        at_ms = time_of(sample)
        if at_ms is not None and first_ms is None:
            first_ms = until_ms = at_ms
        if part and (len(part) >= SAMPLES_A_REQUEST or (at_ms is not None and at_ms >= until_ms)):
            yield part
            part = []
        if at_ms is not None and first_ms is not None and at_ms >= until_ms:
            time.sleep(max(0.0, began + (at_ms - first_ms) / 1000 / speed - time.monotonic()))
            until_ms = at_ms + _STEP_S * 1000 * speed
        part.append(sample)
    if part:
        yield part


def _send(client: httpx.Client, part: list[Sample]) -> dict[str, Any]:
    body = b"\n".join(bytes(s) if isinstance(s, msgspec.Raw) else msgspec.json.encode(s) for s in part)
    while True:
        response = client.post("/api/v1/samples", content=body)
        if response.status_code in (429, 503):
            time.sleep(float(response.headers.get("Retry-After", "1")))
            continue
        if response.status_code == 400:  # nothing in it could be read
            detail = response.json().get("detail", response.text)
            return {"accepted": 0, "rejected": [{"error": detail}] * len(part)}
        if response.status_code != 202:
            raise ForeshockError(f"cannot replay: the server answered {response.status_code}: {response.text[:300]}")
        return response.json()
