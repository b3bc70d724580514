"""The program inside a warm Python process: calls user functions one at a time over a private socket.

Run by path with the descriptor of its socket as only argument, so that nothing of the platform is
importable from it. A frame is a 4-byte big-endian length and JSON, both ways:
`{"call": "module:function", "args": {...}, "environment": {...}}`, with the variables of this call, is
answered by `{"output": ...}` or `{"error": {"code", "message", "details"}}`.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import inspect
import os
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OUTPUT_LIMIT = 16 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_TRACEBACK_LINES = 20


class _Refused(Exception):  # noqa: N818  # an answer, not a fault of this program
    def __init__(self, code: str, message: str, details: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "details": details}


def answer(request: bytes) -> bytes:
    """Run one call and return its reply; user exceptions of every kind become an error reply."""
    try:
        wanted = orjson.loads(request)
        os.environ.update(wanted["environment"])
        output = _call(wanted["call"], wanted["args"])
        return orjson.dumps({"output": orjson.Fragment(_as_json(wanted["call"], output))})
    except _Refused as refused:
        return orjson.dumps({"error": refused.error})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _call(call: str, args: dict[str, Any]) -> object:
    module, _, path = call.partition(":")
    function = _find(module, path)
    try:
        inspect.signature(function).bind(**args)
    except TypeError as error:
        raise _Refused("validation", f"with.args: {call}: {error}") from None
    except ValueError:
        pass  # a builtin without a signature: the call itself tells
    try:
        result = function(**args)
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
    except BaseException as error:  # noqa: BLE001  # SystemExit of user code must not end the process
        raise _failure(error) from None


async def _awaited(result: Awaitable[object]) -> object:
    return await result


def _find(module: str, path: str) -> Callable[..., object]:
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise _Refused("validation", f"with.call: no module named {error.name}") from None
        raise _failure(error) from None
    except BaseException as error:  # noqa: BLE001  # the module's own top level may raise anything
        raise _failure(error) from None
    for name in path.split("."):
        found = getattr(found, name, None)
    if not callable(found):
        raise _Refused("validation", f"with.call: {module} has no function {path}")
    return found


def _as_json(call: str, output: object) -> bytes:
    try:
        data = orjson.dumps(output)
    except TypeError as error:
        raise _Refused("validation", f"the result of {call} is not JSON: {error}") from None
    if len(data) > OUTPUT_LIMIT:
        raise _Refused("output_too_large", f"the result of {call} is {len(data)} bytes")
    return data


def _failure(error: BaseException) -> _Refused:
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]
    lines = "".join(traceback.format_list(users)).splitlines()[-_TRACEBACK_LINES:]
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    safe = text.encode("utf-8", "replace").decode()
    kept = [line.encode("utf-8", "replace").decode() for line in lines]
    return _Refused("python_error", safe, {"traceback": kept})


def _die_with_the_worker() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _read(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            return None
        data += part
    return bytes(data)


def main(descriptor: int) -> None:
    """Serve calls until the other end closes."""
    _die_with_the_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as channel:
        channel.set_inheritable(False)
        channel.setblocking(True)  # noqa: FBT003  # the socket module's own signature
        while (header := _read(channel, 4)) is not None:
            request = _read(channel, struct.unpack(">I", header)[0])
            if request is None:
                return
            reply = answer(request)
            channel.sendall(struct.pack(">I", len(reply)) + reply)


if __name__ == "__main__":
    sys.argv, arguments = [str(Path(__file__).name)], sys.argv[1:]
    main(int(arguments[0]))
