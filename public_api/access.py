"""Who may call: for now whoever reaches the loopback interface of this machine, and no web page."""

from __future__ import annotations

import ipaddress
import re

from aiohttp import web

from engine.errors import Denied, Misconfigured
from engine.runtime.http import Handler
from engine.runtime.settings import PublicApiProcess

LOCAL_NAMES = frozenset({"localhost", "localhost."})

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")


def check(settings: PublicApiProcess) -> None:
    """Refuse to start with an open door; raises `Misconfigured`."""
    if not is_loopback(settings.host):
        raise Misconfigured(
            f"PLAYLOG_PUBLIC_AUTH=none lets everyone in, so PLAYLOG_HOST must be a loopback address such as "
            f"127.0.0.1, not {settings.host!r}"
        )


def is_loopback(host: str) -> bool:
    """Whether a name or address only leads to this machine."""
    if host.lower() in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@web.middleware
async def only_local(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a web page sends: another origin, or a name that was made to lead to this machine.

    Without tokens a browser on this machine is the way in for everyone else.
    """
    authority = request.headers.get("Host", "")
    host = _AUTHORITY.fullmatch(authority)
    if host is None or not is_loopback(host[1]):
        raise Denied("the Host header must name the loopback address", code="foreign_host")
    if request.headers.get("Origin", own := f"{request.scheme}://{authority}") != own:
        raise Denied("web pages of other origins may not call", code="foreign_origin")
    return await handler(request)
