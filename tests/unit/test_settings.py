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
        ("[windows]\nlateness = 5\n", r"windows\.lateness=5 \(line 2\): want a text in quotes"),
        ("[windows]\nlateness = 'soon'\n", r"lateness \(line 2\): 'soon' is no duration"),
        ("[windows]\nrollups = ['7 parsecs']\n", r"7 parsecs"),
        ("[windows]\ntimezone = 'Mars/Base'\n", r"Mars/Base"),
        (
            "[windows.retention]\n2m = '1d'\n",
            r"windows\.retention\.2m \(line 2\): no such rollup; want one of samples, 10s",
        ),
        ("[windows.retention]\n10s = 'a week'\n", r"windows\.retention\.10s='a week' \(line 2\): want 1s or more"),
        ("windows = 3\n", r"want a \[table\]"),
        ("[windows]\nrollups = []\n", r"windows\.rollups=\[\] \(line 2\): want one text or more"),
        ("[models]\n\nhorizons = []\n", r"models\.horizons=\[\] \(line 3\)"),
        ("[models]\nrollups = ['7m']\n", r"models\.rollups='7m' \(line 2\): want some of windows\.rollups, 10s, 1m"),
        ("[models]\nalarms_per_day = 0\n", r"alarms_per_day=0\.0 \(line 2\): want a number above 0"),
        ("[entities]\nlabels = [1]\n", r"entities\.labels=\[1\]"),
        ("[limits]\nbody = -1\n", r"limits\.body=-1 \(line 2\): want 1 or more"),
        ("[broker]\npartitions = 0\n", r"broker\.partitions=0 \(line 2\): want 1 or more"),
        ("[broker]\nurl = 'amqp://u:hush@h'\n", r"broker\.url='amqp' \(line 2\): want embedded:///DIR or kafka://"),
        ("[store]\nurl = 'x'\n", r"store\.url='x' \(line 2\): want embedded:///DIR or clickhouse://"),
        ("[alerts]\nfor = 0\n", r"alerts\.for=0 \(line 2\): want 1 or more"),
        ("[alerts]\ngroup_wait = 3\n", r"group_wait=3 \(line 2\): want a text in quotes"),
        ("[windows\n", r"cannot read configuration"),
    ],
)
def test_bad_configuration_is_refused(tmp_path, text, says):
    with pytest.raises(SettingsError, match=says):
        load(write(tmp_path, text), {})


@pytest.mark.parametrize(
    "variable, raw, says",
    [
        (
            "FORESHOCK_WINDOWS_LATENES",
            "5s",
            r"FORESHOCK_WINDOWS_LATENES in the environment.*FORESHOCK_WINDOWS_LATENESS",
        ),
        ("FORESHOCK_LIMITS_BODY", "16MB", r"FORESHOCK_LIMITS_BODY='16MB': want a whole number"),
        ("FORESHOCK_BROKER_TLS", "perhaps", r"want true or false"),
        ("FORESHOCK_ALERTS_TARGETS", "[{kind=]", r"FORESHOCK_ALERTS_TARGETS=.*tables as in TOML"),
        ("FORESHOCK_MODELS_GROUPS", "databases", r"FORESHOCK_MODELS_GROUPS=.*a=b,c=d"),
    ],
)
def test_a_bad_environment_is_refused(variable, raw, says):
    with pytest.raises(SettingsError, match=says):
        load(None, {variable: raw})


def test_every_key_may_come_from_the_environment_and_what_is_not_ours_is_left_alone():
    settings = load(
        None,
        {
            "FORESHOCK_ALERTS_TARGETS": '[{kind = "webhook", url = "http://127.0.0.1:1/a,b"}]',
            "FORESHOCK_MODELS_GROUPS": '{databases = ["db-*", "pg-*"]}',
            "FORESHOCK_ENTITIES_LABELS": '["host", "a,b"]',
            "FORESHOCK_MODELS_KINDS": "logistic, knn",
            "FORESHOCK_WINDOWS_RETENTION": "10s=2d, samples=none",
            "FORESHOCK_ALERTS_FOR": "5",
            "FORESHOCK_BROKER_TLS": "True",
            "FORESHOCK_TOKEN": "of the client",
            "FORESHOCK_STORE_SERVICE_HOST": "10.0.0.1",
            "FORESHOCK_STORE_PORT_9000_TCP_ADDR": "10.0.0.1",
        },
    )
    assert settings.alerts.targets == [{"kind": "webhook", "url": "http://127.0.0.1:1/a,b"}]
    assert settings.models.groups == {"databases": ["db-*", "pg-*"]} and settings.models.kinds == ["logistic", "knn"]
    assert settings.entities.labels == ["host", "a,b"] and settings.windows.retention == {
        "10s": "2d",
        "samples": "none",
    }
    assert settings.alerts.windows == 5 and settings.broker.tls


def test_durations():
    assert [duration_ms(t) for t in ("250ms", "5s", "2h", "7d")] == [250, 5000, 7_200_000, 604_800_000]


def test_the_brokers_password_is_shown_nowhere():
    broker = load(None, {"FORESHOCK_BROKER_USERNAME": "u", "FORESHOCK_BROKER_PASSWORD": "hush"}).broker
    assert "hush" not in repr(broker) and "hush" not in repr(broker.kafka)
    assert broker.kafka.client()["sasl_plain_password"] == "hush"
