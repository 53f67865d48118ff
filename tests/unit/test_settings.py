"""A bad configuration fails in the first second, by name, line and what would be right."""

import pytest

from foreshock.settings import duration_ms, load
from schemas.errors import SettingsError


def write(tmp_path, text):
    path = tmp_path / "foreshock.toml"
    path.write_text(text)
    return path


def test_defaults_and_environment(tmp_path):
    settings = load(write(tmp_path, '[windows]\nlateness = "7s"\n'), {"FORESHOCK_MODELS_ALARMS_PER_DAY": "2.5"})
    assert settings.windows.lateness_ms == 7000
    assert settings.models.alarms_per_day == 2.5


@pytest.mark.parametrize(
    "text, says",
    [
        ("[windows]\nlatenes = '5s'\n", r"windows\.latenes \(line 2\).*want one of rollups, lateness"),
        ("[window]\n", r"section 'window' \(line 1\)"),
        ("[windows]\nlateness = 5\n", r"windows\.lateness=5 \(line 2\): want a str"),
        ("[windows]\nlateness = 'soon'\n", r"lateness \(line 2\): 'soon' is no duration"),
        ("[windows]\nrollups = ['7 parsecs']\n", r"7 parsecs"),
        ("[windows]\ntimezone = 'Mars/Base'\n", r"Mars/Base"),
        (
            "[windows.retention]\n2m = '1d'\n",
            r"windows\.retention\.2m \(line 2\): no such rollup; want one of samples, 10s",
        ),
        ("[windows.retention]\n10s = 'a week'\n", r"windows\.retention\.10s='a week' \(line 2\): want 1s or more"),
        ("windows = 3\n", r"want a \[table\]"),
        ("[windows\n", r"cannot read configuration"),
    ],
)
def test_bad_configuration_is_refused(tmp_path, text, says):
    with pytest.raises(SettingsError, match=says):
        load(write(tmp_path, text), {})


def test_durations():
    assert [duration_ms(t) for t in ("250ms", "5s", "2h", "7d")] == [250, 5000, 7_200_000, 604_800_000]


def test_the_brokers_password_is_shown_nowhere():
    broker = load(None, {"FORESHOCK_BROKER_USERNAME": "u", "FORESHOCK_BROKER_PASSWORD": "hush"}).broker
    assert "hush" not in repr(broker) and "hush" not in repr(broker.kafka)
    assert broker.kafka.client()["sasl_plain_password"] == "hush"
