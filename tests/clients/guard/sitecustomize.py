"""Loaded by every Python of the clients tier: what would leave this machine is refused and written down.

It covers what goes through Python's `socket`; `IFT_GUARD_RECORD` names the file that gets one line for each
attempt.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import Any

_record = os.environ.get("IFT_GUARD_RECORD")
_getaddrinfo = socket.getaddrinfo


class LeavesTheMachineError(OSError):
    """The connection would have left this machine."""


def _is_loopback(host: Any) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        text = host.decode() if isinstance(host, bytes) else str(host)
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _refuse(what: str, host: Any) -> None:
    if _record:
        with open(_record, "a", encoding="utf-8") as file:  # noqa: PTH123 - loaded before anything else
            file.write(f"{what} {host} by {' '.join(sys.argv)[:200]}\n")
    raise LeavesTheMachineError(f"{what} {host}: this test lets nothing leave the machine")


class _GuardedSocket(socket.socket):
    def connect(self, address: Any) -> None:
        self._check(address)
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        self._check(address)
        return super().connect_ex(address)

    def sendto(self, *arguments: Any) -> int:
        self._check(arguments[-1])
        return super().sendto(*arguments)

    def _check(self, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            _refuse("connect", address[0])


def _guarded_getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    if not _is_loopback(host):
        _refuse("getaddrinfo", host)
    return _getaddrinfo(host, *arguments, **options)


def _guarded_by_name(name: str) -> Any:
    look_up = getattr(socket, name)

    def guarded(host: Any) -> Any:
        if not _is_loopback(host):
            _refuse(name, host)
        return look_up(host)

    return guarded


socket.socket = _GuardedSocket  # type: ignore[misc]
socket.getaddrinfo = _guarded_getaddrinfo
socket.gethostbyname = _guarded_by_name("gethostbyname")
socket.gethostbyname_ex = _guarded_by_name("gethostbyname_ex")
