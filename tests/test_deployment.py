"""What compose.yaml and the README say is what the program takes."""

import re
from dataclasses import replace
from pathlib import Path

import yaml

from foreshock.cli import cli
from foreshock.roles import stream_settings
from foreshock.settings import Settings, load
from stream.actions.runbook import parse_runbook

ROOT = Path(__file__).parent.parent


def test_compose_sets_only_keys_that_exist_and_roles_that_run():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    known = {f"FORESHOCK_{s}_{k}".upper() for s, part in vars(Settings()).items() for k in vars(part)}
    roles = set()
    for name, service in compose["services"].items():
        ours = {key: str(v) for key, v in service.get("environment", {}).items() if key.startswith("FORESHOCK_")}
        assert set(ours) <= known, (name, set(ours) - known)
        load(None, ours)
        if "build" in service:
            roles.add(service["command"].split()[0])
    brokers = {
        name
        for name, service in compose["services"].items()
        if "kafka" in service["image" if "image" in service else "command"]
    }
    named = compose["x-foreshock"]["environment"]["FORESHOCK_BROKER_URL"].removeprefix("kafka://").split(",")
    assert {address.removesuffix(":9092") for address in named} == brokers and len(brokers) == 3
    assert roles == {"stream", "api", "collect", "alerts"} and roles <= set(cli.commands)


def test_the_readme_opens_with_the_two_commands_and_names_only_what_there_is():
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.S)
    assert [block.strip() for block in blocks[:2]] == ["make run", "make test"]
    for command in re.findall(r"foreshock ([a-z]+)", "\n".join(blocks)):
        assert command in cli.commands, command
    for link in re.findall(r"\]\((?!http)([^)#]+)", readme):
        assert (ROOT / link).exists(), link


def test_the_settings_that_the_readme_shows_are_taken(tmp_path):
    shown = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(shown) >= 3
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        if "[[action]]" in text:
            assert parse_runbook(text)
            continue
        settings = load(path, {})
        assert stream_settings(replace(settings, models=replace(settings.models, runbook="")))
