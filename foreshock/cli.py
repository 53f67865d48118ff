"""The console script. Exit status: 0 well, 1 failed, 2 wrong usage; messages go to stderr."""

from __future__ import annotations

import os

# Before NumPy is imported: the matrices here are small, and threads that wait for one spin on the other processors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
import hashlib
import logging
import re
import secrets
import sys
from pathlib import Path

import click
import httpx

from foreshock import __version__
from foreshock.backup import backup
from foreshock.client import incidents, query
from foreshock.heap import prepare_heaps
from foreshock.quieted import Quieted, Retried
from foreshock.rehearse import rehearse
from foreshock.replay import replay
from foreshock.restore import restore
from foreshock.settings import Settings, default_data_dir, load
from schemas.errors import ForeshockError, SettingsError

config_option = click.option("--config", "config", type=click.Path(path_type=Path), help="TOML file.")
data_option = click.option("--data", "data", type=click.Path(path_type=Path), help="Data folder.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="foreshock")
def cli() -> None:
    """Foreshock: told, with reasons and a next step, that an incident is about to begin."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(Retried())
        handler.addFilter(Quieted())


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
    from foreshock.roles import ALERTING, API, COLLECT, STREAM

    _run(data, config, {STREAM, API, ALERTING} | (set() if no_collect else {COLLECT}), host, port)


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
def alerts(data: Path | None, config: Path | None) -> None:
    """Raise alerts and tell the targets, in the distributed deployment; any number share the partitions."""
    _run(data, config, {"alerts"})


@cli.command()
@data_option
@config_option
def check(data: Path | None, config: Path | None) -> None:
    """Read the configuration, reach broker and store, say what is wrong and where."""
    from foreshock.access import check_access
    from foreshock.roles import alert_settings, stream_settings
    from log.lock import DataFolderInUse
    from log.open import open_log
    from store.base import open_store
    from stream.models.kinds import absent

    settings, _ = _settings(config, data)
    stream_settings(settings)
    check_access(settings.auth)

    unreached: list[str] = []

    async def reach() -> None:
        log = open_log(settings.broker.url, settings.broker.kafka)
        try:
            await log.start()
        except DataFolderInUse as error:
            click.echo(f"broker and store: {error.running}", err=True)
            return
        await log.stop()
        click.echo(f"broker {settings.broker.url}: well", err=True)
        store = open_store(settings.store.url, settings.store.server)
        store.open()
        store.close()
        click.echo("store: well", err=True)
        async with httpx.AsyncClient(timeout=5) as client:
            for target in alert_settings(settings).targets:
                # The host alone is asked, without a body: nobody is alarmed by a check.
                try:
                    await client.head(target.url)
                except httpx.HTTPError as error:
                    unreached.append(target.name)
                    click.echo(f"alert target {target.name}: cannot reach {target.url}: {error!r}", err=True)
                else:
                    click.echo(f"alert target {target.name}: its host answers", err=True)

    click.echo("configuration: well", err=True)
    for kind in settings.models.kinds:
        if why := absent(kind):
            click.echo(f"model {kind}: absent, the others answer. {why}", err=True)
    asyncio.run(reach())
    if unreached:
        raise SettingsError(f"cannot reach {len(unreached)} alert targets: {', '.join(unreached)}")


@cli.command()
@click.argument("corpus", type=click.Choice(["nab", "machines"]))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with curves and cases.")
def evaluate(corpus: str, folder: Path, out: Path, report: Path | None) -> None:
    """Stream a labelled corpus through the live engine, in order, and write a score a row."""
    from foreshock.evaluate import evaluate_machines, evaluate_nab
    from foreshock.report import write_report
    from foreshock.scored import read_machines, read_nab

    for name in (evaluate_nab if corpus == "nab" else evaluate_machines)(folder, out):
        click.echo(name, err=True)
    if report is not None:
        write_report(report, f"{corpus}: {folder}", (read_nab if corpus == "nab" else read_machines)(folder, out))
        click.echo(f"report: {report}", err=True)


@cli.command()
@click.argument("name")
@click.option("--scope", default="read", show_default=True, help="Of read, write, admin; comma-separated.")
def token(name: str, scope: str) -> None:
    """Make a token; it is printed once, the configuration keeps its hash."""
    scopes = [one.strip() for one in scope.split(",")]
    if set(scopes) - {"read", "write", "admin"}:
        raise click.BadParameter(f"cannot use scope {scope!r}: want some of read,write,admin")
    if not re.fullmatch(r"[\w.@+-]{1,64}", name):  # what stands in TOML, in the environment and in a line of a file
        raise click.BadParameter(f"cannot use name {name!r}: want 1 to 64 letters, digits and . _ @ + -")
    secret = secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    click.echo(secret)
    click.echo(f'add to foreshock.toml: [auth] tokens = ["{name}:{"+".join(scopes)}:{digest}"]', err=True)


for command in (replay, rehearse, query, incidents, backup, restore):
    cli.add_command(command)


def _with_version(group: click.Group) -> None:
    for command in group.commands.values():
        click.version_option(__version__, prog_name="foreshock")(command)
        if isinstance(command, click.Group):
            _with_version(command)


_with_version(cli)


def main() -> None:
    prepare_heaps()
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(1)
    except httpx.TransportError as error:
        where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
        click.echo(
            f"foreshock: cannot reach {where}: {error}; is `foreshock up` running there? --url says where", err=True
        )
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ForeshockError, OSError, httpx.HTTPError) as error:
        click.echo(f"foreshock: {error}", err=True)
        sys.exit(1)
