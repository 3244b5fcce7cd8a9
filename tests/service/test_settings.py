"""Settings are read once, and all their faults are told together."""

from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings, known_variables, load_settings
from web.addresses import parse_networks


def faults(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return caught.value.faults


def test_everything_lies_under_the_data_folder_by_default() -> None:
    settings = load_settings({"HOME": "/home/x"})

    assert settings == Settings(database_url="sqlite:///var/usher.db")
    assert settings.key_file == Path("var/secret.key")
    assert load_settings({"USHER_DATA": "/srv/usher"}).database_url == "sqlite:////srv/usher/usher.db"
    assert load_settings({"USHER_DATA": "/srv/usher"}).exports == Path("/srv/usher/directories")


def test_every_setting_is_read() -> None:
    settings = load_settings(
        {
            "USHER_DATABASE_URL": "postgresql://usher@db/usher",
            "USHER_EXPORTS": "/exports",
            "USHER_HOST": "0.0.0.0",  # noqa: S104 - only read here
            "USHER_PORT": "80",
            "USHER_LOG_LEVEL": "DEBUG",
            "USHER_LOG_FORMAT": "json",
            "USHER_SQLITE_FULL_SYNC": "yes",
            "USHER_TRUSTED_PROXIES": "10.0.0.1, fd00::/8",
            "USHER_PUBLIC_URL": "https://usher.example.com/base/",
            "USHER_SCIM_RATE": "10",
            "USHER_SCIM_BURST": "20",
            "USHER_SCIM_LOG_DAYS": "5",
            "USHER_RETENTION_DAYS": "7",
        }
    )

    assert settings.database_url == "postgresql://usher@db/usher"
    assert settings.exports == Path("/exports")
    assert (settings.port, settings.log_level, settings.log_format) == (80, "debug", "json")
    assert settings.sqlite_full_sync is True
    assert settings.trusted_proxies == parse_networks("10.0.0.1/32,fd00::/8")
    assert settings.base_url == "https://usher.example.com/base"
    assert (settings.scim_rate, settings.scim_burst, settings.scim_log_days) == (10, 20, 5)
    assert settings.retention.days == 7


def test_all_faults_are_told_together() -> None:
    told = faults(
        USHER_PORT="0",
        USHER_LOG_FORMAT="xml",
        USHER_SQLITE_FULL_SYNC="maybe",
        USHER_TRUSTED_PROXIES="proxy",
        USHER_PUBLIC_URL="usher.example.com",
        USHER_SCIM_RATE="0",
        USHER_SCIM_BURST="many",
        USHER_SCIM_LOG_DAYS="0",
        USHER_TICK_SECONDS="-1",
        USHER_DATABASE_URL="mysql://user:hidden@host/db",
        USHER_QQQ="9",
    )

    assert told == (
        "USHER_QQQ is no setting; unset it; 'usher serve --help' lists the settings",
        "USHER_DATABASE_URL must be sqlite:///path/to/usher.db or postgresql://user@host/database",
        "USHER_PORT must be a whole number from 1 to 65535, not '0'",
        "USHER_LOG_FORMAT must be one of auto, console, json, not 'xml'",
        "USHER_TICK_SECONDS must be a whole number from 1 to 3600, not '-1'",
        "USHER_SQLITE_FULL_SYNC must be true or false, not 'maybe'",
        "USHER_TRUSTED_PROXIES must be the addresses or networks of the proxies in front, such as 10.0.0.0/8,::1, "
        "not 'proxy'",
        "USHER_PUBLIC_URL must be the address that clients reach the service at, such as https://usher.example.com, "
        "not 'usher.example.com'",
        "USHER_SCIM_RATE must be a whole number from 1 to 1000000, not '0'",
        "USHER_SCIM_BURST must be a whole number from 1 to 1000000, not 'many'",
        "USHER_SCIM_LOG_DAYS must be a whole number from 1 to 3650, not '0'",
    )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://usher.example.com",
        "https://",
        "https://user:pass@usher.example.com",
        "https://usher.example.com?x=1",
        "https://usher.example.com?",
        "https://usher.example.com#",
        "https://usher.example.com:99999",
        "https://usher.example.com:0",
        "https://[::1",
        "https://usher example.com",
        "https://übung.example",
        "/scim",
    ],
)
def test_what_clients_could_not_be_told_is_no_public_address(url: str) -> None:
    assert faults(USHER_PUBLIC_URL=url)[0].startswith("USHER_PUBLIC_URL must be the address")


def test_without_a_public_address_clients_are_of_this_machine() -> None:
    assert load_settings({"USHER_PORT": "8123"}).base_url == "http://127.0.0.1:8123"
    assert load_settings({"USHER_PUBLIC_URL": "http://[::1]:8080/"}).base_url == "http://[::1]:8080"


def test_near_name_is_suggested() -> None:
    assert faults(USHER_TRUSTED_PROXY="::1") == (
        "USHER_TRUSTED_PROXY is no setting; did you mean USHER_TRUSTED_PROXIES?",
    )
    assert faults(USHER_DATABASE="x") == ("USHER_DATABASE is no setting; did you mean USHER_DATABASE_URL?",)


def test_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("sqlite:////srv/usher.db\n", encoding="utf-8")

    assert load_settings({"USHER_DATABASE_URL_FILE": str(path)}).database_url == "sqlite:////srv/usher.db"


def test_file_of_a_secret_must_be_usable(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n", encoding="utf-8")
    binary.write_bytes(b"\xff")

    assert "is empty" in faults(USHER_SECRET_KEY_FILE=str(empty))[0]
    assert "it is not UTF-8 text" in faults(USHER_SECRET_KEY_FILE=str(binary))[0]
    assert "No such file" in faults(USHER_SECRET_KEY_FILE=str(tmp_path / "none"))[0]
    both = faults(USHER_METRICS_TOKEN="a", USHER_METRICS_TOKEN_FILE=str(empty))
    assert both == ("USHER_METRICS_TOKEN and USHER_METRICS_TOKEN_FILE are both set; keep one of them",)


def test_empty_variable_is_none() -> None:
    assert load_settings({"USHER_PORT": ""}) == load_settings({})


def test_secrets_are_not_shown() -> None:
    settings = load_settings(
        {"USHER_DATABASE_URL": "postgresql://u:hidden@h/d", "USHER_METRICS_TOKEN": "hidden"}
    )

    assert "hidden" not in repr(settings)


def test_every_known_variable_is_of_a_setting() -> None:
    assert len(known_variables()) == len(set(known_variables()))
    assert {"USHER_DATA", "USHER_SECRET_KEY_FILE", "USHER_ORGANISATION"} <= set(known_variables())


def test_workers_are_for_postgresql() -> None:
    settings = load_settings({"USHER_DATABASE_URL": "postgresql://db/usher", "USHER_JOBS": "Workers"})

    assert (settings.jobs, settings.is_on_sqlite) == ("workers", False)
    assert faults(USHER_JOBS="workers") == (
        "USHER_JOBS is workers, but SQLite serves one process; set USHER_DATABASE_URL to a PostgreSQL database, "
        "or leave USHER_JOBS out",
    )


def test_a_worker_counts_as_dead_after_three_heartbeats_at_the_soonest() -> None:
    settings = load_settings(
        {
            "USHER_WORKER_HEARTBEAT_SECONDS": "10",
            "USHER_WORKER_STALLED_SECONDS": "30",
            "USHER_WORKER_RECOVERY_SECONDS": "15",
        }
    )

    assert settings.worker_heartbeat_seconds == 10
    assert (settings.worker_stalled_seconds, settings.worker_recovery_seconds) == (30, 15)
    assert faults(USHER_WORKER_HEARTBEAT_SECONDS="2") == (
        "USHER_WORKER_STALLED_SECONDS must be at least 3 times USHER_WORKER_HEARTBEAT_SECONDS, or a worker that is "
        "slow counts as dead",
    )
