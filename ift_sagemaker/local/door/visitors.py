"""Who may come in over HTTP: programs of this machine, and no web page.

A page that a browser of this machine shows can send requests to 127.0.0.1. Two things tell them apart from
those of AWS's clients: the name in `Host`, which is the page's own where it was rebound here, and the headers
`Origin` and `Sec-Fetch-*`, which browsers set, pages cannot remove, and AWS's clients do not send. A
signature would tell nothing: any key is taken here. Opening an address of S3 is allowed, from wherever: with
GET and HEAD S3 only reads. Opening any other is not, since STS and IAM take every operation from the query of
an address, those that change something too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ift_sagemaker.local.door.app import WSGIApplication, refused
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import from_wsgi

_HOSTS = re.compile(
    r"(?:127\.\d+\.\d+\.\d+|localhost|\[::1\]|(?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?)(?::\d+)?",
    re.IGNORECASE,
)


def only_programs(application: WSGIApplication) -> WSGIApplication:
    """`application`, which no web page reaches."""

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        error = refusal(environ)
        if error is None:
            return application(environ, start)
        return refused(environ, start, error)

    return guarded


def refusal(environ: Mapping[str, Any]) -> ServiceError | None:
    """Why a request is not let in; None where it is."""
    host = environ.get("HTTP_HOST", "")
    if not _HOSTS.fullmatch(host):
        return _denied(f"the host {host!r} is not this one; call http://127.0.0.1:{environ['SERVER_PORT']}")
    if "HTTP_ORIGIN" in environ:
        return _denied(f"web pages may not call it (Origin {environ['HTTP_ORIGIN']!r})")
    if environ.get("HTTP_SEC_FETCH_MODE") == "navigate":
        return None if _reads_s3(environ) else _denied("a browser may open addresses of S3 alone")
    if environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
        return _denied("web pages may not call it")
    return None


def _reads_s3(environ: Mapping[str, Any]) -> bool:
    try:
        request = from_wsgi(environ, "")
    except ServiceError:
        return False
    reads = request.method in ("GET", "HEAD") and "Action" not in request.query
    return reads and request.scope[1] in ("", "s3")


def _denied(why: str) -> ServiceError:
    return ServiceError("AccessDenied", f"The local AWS of ift_sagemaker refuses this request: {why}", 403)
