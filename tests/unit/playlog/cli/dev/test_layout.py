from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from engine.runtime import settings_loading
from engine.runtime.settings import MEMORY
from playlog.cli.dev.command import without_password
from playlog.cli.dev.layout import PACKAGES, DevSettings, Layout, Wanted, lay_out
from playlog.cli.dev.ports import Ports

WANTED = Wanted(home=Path(".playlog"), tasks_path=Path("/tasks"), first_ports=(21000, 21001))


@pytest.fixture(autouse=True)
def nothing_is_set_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings_loading.known_names():
        monkeypatch.delenv(name, raising=False)


def laid_out(wanted: Wanted = WANTED, settings: DevSettings | None = None) -> Layout:
    return lay_out(wanted, settings or DevSettings(), Ports(print))


def test_nobody_is_told_an_address_or_a_secret_that_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAYLOG_SECRET_SHOP", "hunter22")
    plans = {plan.name: plan.environment for plan in laid_out().plans("postgresql://x", "nats://x")}
    assert set(plans) == set(PACKAGES)
    tokens = {name for name, told in plans.items() if told["PLAYLOG_INTERNAL_API_TOKEN"]}
    assert tokens == {"internal-api", "worker"}
    databases = {name for name, told in plans.items() if told["PLAYLOG_DATABASE_URL"]}
    assert databases == set(PACKAGES) - {"worker"}
    assert plans["worker"]["PLAYLOG_NATS_URL"] == ""
    assert {name for name, told in plans.items() if "PLAYLOG_SECRET_SHOP" in told} == {"worker"}


def test_without_nats_one_process_is_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_SECRET_SHOP", "hunter22")
    layout = laid_out(settings=DevSettings(nats_url=MEMORY))
    (plan,) = layout.plans("postgresql://x", MEMORY)
    assert (plan.name, plan.package) == ("standalone", "standalone")
    wanted = {
        "PLAYLOG_DATABASE_URL": "postgresql://x",
        "PLAYLOG_NATS_URL": MEMORY,
        "PLAYLOG_INTERNAL_API_TOKEN": layout.token,
        "PLAYLOG_INTERNAL_API_URL": layout.internal_url,
        "PLAYLOG_INTERNAL_API_PORT": str(layout.internal_port),
        "PLAYLOG_PUBLIC_API_PORT": str(layout.public_port),
        "PLAYLOG_SECRET_SHOP": "hunter22",
    }
    assert {name: plan.environment[name] for name in wanted} == wanted


def test_an_empty_address_of_nats_is_none_and_not_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_NATS_URL", "")
    assert DevSettings().nats_url is None
    with pytest.raises(ValidationError, match="nats:// or tls://"):
        DevSettings(nats_url="memory,nats://x")


def test_every_process_has_a_health_port_of_its_own_on_the_loopback_interface() -> None:
    plans = laid_out().plans("postgresql://x", "nats://x")
    assert len({plan.environment["PLAYLOG_HEALTH_PORT"] for plan in plans}) == len(plans)
    assert {plan.environment["PLAYLOG_HEALTH_HOST"] for plan in plans} == {"127.0.0.1"}


def test_a_token_that_is_set_is_used_and_otherwise_each_run_has_its_own() -> None:
    given = DevSettings(internal_api_token=SecretStr("one,two"))
    assert laid_out(settings=given).token == "one"
    assert laid_out().token != laid_out().token


def test_the_http_tool_may_reach_what_setting_and_option_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_HTTP_ALLOW", "10.0.0.0/8")
    wanted = Wanted(home=Path(".playlog"), tasks_path=Path("/tasks"), http_allow=("127.0.0.1:8099",))
    given = laid_out(wanted).given
    assert given["PLAYLOG_HTTP_ALLOW"] == "10.0.0.0/8,127.0.0.1:8099"
    assert given["PLAYLOG_TASKS_PATH"] == "/tasks"


def test_an_isolated_engine_takes_no_setting_from_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_STREAM", "OTHER")
    isolated = Wanted(home=Path("/x"), tasks_path=Path("/tasks"), isolated=True)
    layout = laid_out(isolated)
    assert "PLAYLOG_STREAM" not in layout.given
    assert layout.directory == Path("/x")
    assert "PLAYLOG_STREAM" in laid_out().given


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("postgresql://u:p@h:1/d?x=y") == "postgresql://u:***@h:1/d?x=y"
    assert without_password("nats://h:4222") == "nats://h:4222"
