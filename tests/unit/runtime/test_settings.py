from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.errors import Misconfigured
from engine.runtime import settings_loading
from engine.runtime.settings import InternalApiProcess, PublisherProcess, StandaloneProcess, WorkerProcess
from engine.runtime.settings_loading import load

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in settings_loading.known_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_environment_wins_over_env_file_over_directory_over_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "settings"
    secrets.mkdir()
    for name in ("PLAYLOG_SLOTS", "PLAYLOG_POOL", "PLAYLOG_INTERNAL_API_TOKEN"):
        (secrets / name).write_text("3")
    (tmp_path / ".env").write_text("PLAYLOG_SLOTS=2\nPLAYLOG_POOL=2\n")
    monkeypatch.setenv("PLAYLOG_SETTINGS_DIR", str(secrets))
    monkeypatch.setenv("PLAYLOG_SLOTS", "1")

    loaded = load(WorkerProcess)

    assert (loaded.slots, loaded.pool) == (1, "2")
    assert loaded.internal_api_token is not None
    assert loaded.internal_api_token.get_secret_value() == "3"
    assert loaded.internal_api_url == "http://127.0.0.1:8081"


def test_all_faults_are_told_at_once_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_DATABSE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("PLAYLOG_NATS_URL", "http://u:hunter2@h")
    monkeypatch.setenv("PLAYLOG_COMMAND_TIMEOUT", "hunter2")
    monkeypatch.setenv("PLAYLOG_SETTINGS_DIR", "/nowhere/hunter2")

    with pytest.raises(Misconfigured) as caught:
        load(PublisherProcess)

    assert caught.value.detail.splitlines() == [
        "4 settings are wrong:",
        "  PLAYLOG_SETTINGS_DIR: no such directory",
        "  PLAYLOG_DATABSE_URL: no such setting; did you mean PLAYLOG_DATABASE_URL?",
        "  PLAYLOG_NATS_URL: each URL must start with nats:// or tls://",
        "  PLAYLOG_COMMAND_TIMEOUT: input should be a valid number, unable to parse string as a number",
    ]


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        (PublisherProcess, "memory", r"memory works only in `playlog dev`, .*; name a NATS server"),
        (StandaloneProcess, "nats://h", "must be memory"),
    ],
)
def test_only_the_process_that_plays_every_role_does_without_nats(
    monkeypatch: pytest.MonkeyPatch, kind: type[PublisherProcess], url: str, words: str
) -> None:
    monkeypatch.setenv("PLAYLOG_NATS_URL", url)
    with pytest.raises(Misconfigured, match=f"PLAYLOG_NATS_URL: {words}"):
        load(kind)


def test_an_unknown_name_in_the_env_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLAYLOG_SLOT=2\nOTHER=1\n")
    with pytest.raises(Misconfigured, match=r"PLAYLOG_SLOT: no such setting; did you mean PLAYLOG_SLOTS\?"):
        load(WorkerProcess)


@pytest.mark.parametrize(
    "name",
    [
        "PLAYLOG_SECRET_GITHUB",
        "PLAYLOG_STREAM_MAX_BYTES",
        "PLAYLOG_INTERNAL_API_SERVICE_PORT_HTTP",
        "PLAYLOG_INTERNAL_API_PORT_8081_TCP_ADDR",
    ],
)
def test_names_of_other_processes_secrets_and_service_links_are_no_faults(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1048576")
    load(WorkerProcess)


def test_variables_with_secrets_of_playbooks_come_from_the_environment_before_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PLAYLOG_SECRET_A=of file\nPLAYLOG_SECRET_B=of file\nPLAYLOG_SLOTS=3\n")
    monkeypatch.setenv("PLAYLOG_SECRET_A", "of environment")
    monkeypatch.setenv("PLAYLOG_SECRET_C", "")
    found = settings_loading.secret_variables()
    assert found == {"PLAYLOG_SECRET_A": "of environment", "PLAYLOG_SECRET_B": "of file"}
    assert "of" not in repr(load(WorkerProcess))


def test_a_service_link_does_not_become_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_PORT", "tcp://10.0.0.7:8081")
    assert load(InternalApiProcess).internal_api_port == 8081


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_SLOTS", "")
    assert load(WorkerProcess).slots == 20


def test_secrets_and_urls_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("PLAYLOG_NATS_URL", "nats://u:hunter2@h")
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_TOKEN", "hunter2")
    loaded = load(InternalApiProcess)
    assert "hunter2" not in f"{loaded!r} {loaded}"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_HTTP_ALLOW", "10.0.0.0/8, intranet.example ,")
    assert load(WorkerProcess).http_allow == ("10.0.0.0/8", "intranet.example")


def test_settings_are_frozen() -> None:
    loaded = load(WorkerProcess)
    with pytest.raises(ValidationError, match="frozen"):
        loaded.slots = 3  # type: ignore[misc]


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs/reference/settings.md").read_text() == settings_loading.reference()


def test_every_setting_says_what_it_means() -> None:
    lines = [line for line in settings_loading.reference().splitlines() if line.startswith("| `PLAYLOG")]
    assert len(lines) > 30
    assert all(line.endswith(". |") for line in lines)
