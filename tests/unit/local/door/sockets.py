"""Bare HTTP over a real socket, for what no well-behaved client sends."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import boto3
from botocore.config import Config

from ift_sagemaker.local.door.server import HOST, Served


@cache
def _session() -> Any:
    """One for all tests: reading the service models takes most of a client's making."""
    return boto3.Session()


def port_of(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


def dial(served: Served, seconds: float = 10.0) -> socket.socket:
    return socket.create_connection((HOST, port_of(served)), seconds)


def talk(served: Served, *sent: bytes) -> bytes:
    """All that comes back until the server closes."""
    with dial(served) as link:
        for piece in sent:
            link.sendall(piece)
        return everything(link)


def everything(link: socket.socket) -> bytes:
    parts = []
    while data := link.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def until(link: socket.socket, end: bytes) -> bytes:
    """What comes, up to and with `end`."""
    data = b""
    while not data.endswith(end):
        piece = link.recv(1)
        assert piece, data
        data += piece
    return data


def ask(
    served: Served, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(HOST, port_of(served), timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def client(served: Served, service: str, config: Config | None = None) -> Any:
    """An ordinary boto3 client, pointed at the server as its environment says."""
    told = served.environment
    return _session().client(
        service,
        endpoint_url=told["AWS_ENDPOINT_URL"],
        region_name=told["AWS_REGION"],
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
