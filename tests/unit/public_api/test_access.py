from __future__ import annotations

import pytest
from pydantic import ValidationError

from engine.errors import Misconfigured
from engine.runtime.settings import PublicApiProcess
from public_api import access


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "LocalHost", "::1", "[::1]"])
def test_the_loopback_address_is_no_open_door(host: str) -> None:
    access.check(PublicApiProcess(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "169.254.169.254",
        "example.org",
        "localhost.example",
        "127.1",
        "::ffff:a.b",
    ],
)
def test_every_other_address_is(host: str) -> None:
    with pytest.raises(Misconfigured, match="PLAYLOG_HOST must be a loopback address"):
        access.check(PublicApiProcess(host=host))


@pytest.mark.parametrize("auth", ["tokens", "jwt"])
def test_an_authorization_that_does_not_exist_yet_is_refused(auth: str) -> None:
    with pytest.raises(ValidationError, match="public_auth"):
        PublicApiProcess.model_validate({"public_auth": auth})
