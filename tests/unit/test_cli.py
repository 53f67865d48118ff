"""The console script: help and version everywhere, exit status by what went wrong, never a traceback."""

import subprocess

import click
import pytest

from foreshock import __version__
from foreshock.cli import cli
from tests.cluster.services import free_port
from tests.running import CLI


def run(*arguments, env=None):
    return subprocess.run([*CLI, *map(str, arguments)], capture_output=True, text=True, env=env, timeout=120)


def commands(group, path=()):
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_are_everywhere(path, option, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([*path, option], prog_name="foreshock")
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert __version__ in said if option == "--version" else "--version" in said


def test_status_and_words_of_what_goes_wrong(tmp_path):
    config = tmp_path / "foreshock.toml"
    config.write_text('[auth]\ntokens = ["x"]\n')
    port = free_port()
    for status, says, arguments in (
        (2, "No such command", ["bogus"]),
        (2, "No such option", ["up", "--bogus"]),
        (1, "cannot use auth.tokens: want name:read+write:sha256", ["check", "--config", config, "--data", tmp_path]),
        (1, f"cannot reach http://127.0.0.1:{port}", ["query", "--url", f"http://127.0.0.1:{port}"]),
        (2, "cannot use scope", ["token", "ops", "--scope", "read,root"]),
        (2, "cannot use name", ["token", "a b"]),
        (2, "cannot use name", ["token", ""]),
    ):
        done = run(*arguments)
        assert done.returncode == status and says in done.stderr and not done.stdout, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
