"""What the page may know of the settings."""

from dataclasses import fields, replace

from foreshock.settings import Alerts, Auth, Broker, Settings, StoreSettings
from foreshock.shown_settings import MEANINGS, shown_settings


def test_every_setting_is_shown_with_what_it_means():
    known = {f"{s.name}.{f.name}" for s in fields(Settings) for f in fields(getattr(Settings(), s.name))}
    assert set(MEANINGS) == known
    rows = shown_settings(Settings())
    assert {row["key"] for row in rows} == known and not any(row["set"] for row in rows)
    assert all(row["means"].endswith((".", ")")) for row in rows)


def test_nothing_that_lets_a_reader_in_is_shown():
    targets = [
        {
            "name": "ops",
            "kind": "webhook",
            "url": "https://me:s3cret1@ops.example.org/hook?key=s3cret2",
            "secret": "s3cret3",
        },
        {"name": "chat", "kind": "slack", "url": "https://hooks.example.org/services/T0/s3cret4"},
        {"name": "pager", "kind": "pagerduty", "routing_key": "s3cret5"},
    ]
    settings = replace(
        Settings(),
        broker=Broker(url="kafka://user:s3cret6@k1:9092,k2:9092", username="me", password="s3cret8"),
        store=StoreSettings(url="clickhouse://foreshock:s3cret7@db:9000/foreshock"),
        auth=Auth(tokens=["reader:read:" + "s3cret8" * 9], tls_key="/etc/key.pem"),
        alerts=Alerts(targets=targets),
    )
    rows = {row["key"]: row for row in shown_settings(settings)}
    assert "s3cret" not in str(rows)
    assert rows["store.url"]["value"] == "clickhouse://foreshock:•••@db:9000/foreshock"
    assert rows["broker.url"]["value"] == "kafka://user:•••@k1:9092,k2:9092"
    assert rows["auth.tokens"]["value"] == ["reader:read:•••"]
    assert [t["url"] for t in rows["alerts.targets"]["value"][:2]] == [
        "https://me:•••@ops.example.org/•••",
        "https://hooks.example.org/•••",
    ]
    assert rows["store.url"]["set"] and not rows["windows.lateness"]["set"]


def test_an_address_below_the_data_folder_stays_as_it_is():
    settings = replace(Settings(), store=StoreSettings(url="embedded:///var/lib/foreshock/store"))
    assert {r["key"]: r["value"] for r in shown_settings(settings)}["store.url"] == settings.store.url
