"""The query protocol (STS, IAM): a form read, and an answer printed, by botocore's own shapes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import Request

Form = Mapping[str, str]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def form_of(request: Request) -> dict[str, str]:
    """The parameters of a request, from its body and its query.

    Raises:
        ServiceError: the body is no UTF-8 form.
    """
    try:
        body = request.document().decode("utf-8")
        return {**request.query, **dict(parse_qsl(body, keep_blank_values=True))}
    except (UnicodeDecodeError, ValueError):
        raise ServiceError("MalformedQueryString", "The request body is no form in UTF-8") from None


def operation_of(request: Request) -> str:
    """The `Action` of a query-protocol request; empty where it names none."""
    return form_of(request).get("Action", "")


def read(form: Form, shape: Any) -> dict[str, Any]:
    """The input that a form spells, `A.member.1=x` being `{"A": ["x"]}`; what the shape lacks is left out."""
    return _structure(form, shape, "") if shape is not None else {}


def _structure(form: Form, shape: Any, prefix: str) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        key = f"{prefix}{member.serialization.get('name', name)}"
        if key in form or any(given.startswith(f"{key}.") for given in form):
            found[name] = _value(form, member, key)
    return found


def _value(form: Form, shape: Any, key: str) -> Any:
    if shape.type_name == "structure":
        return _structure(form, shape, f"{key}.")
    if shape.type_name == "list":
        start = f"{key}.member."
        numbers = {given.removeprefix(start).partition(".")[0] for given in form if given.startswith(start)}
        ordered = sorted((number for number in numbers if number.isascii() and number.isdigit()), key=int)
        return [_value(form, shape.member, f"{start}{number}") for number in ordered]
    return _scalar(shape.type_name, form.get(key, ""))


def _scalar(kind: str, text: str) -> Any:
    """The text as what it should be; itself where it is not that, for the check to refuse."""
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind in ("integer", "long") and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return text


def printed(operation: str, shape: Any, result: Mapping[str, Any], namespace: str, request_id: str) -> str:
    """The XML document of an answer."""
    inner = "" if shape is None else _xml(f"{operation}Result", shape, result)
    return (
        f'<{operation}Response xmlns="{namespace}">{inner}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )


def _xml(name: str, shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        inner = "".join(
            _xml(member.serialization.get("name", key), member, value[key])
            for key, member in shape.members.items()
            if value.get(key) is not None
        )
    elif shape.type_name == "list":
        inner = "".join(_xml("member", shape.member, item) for item in value)
    else:
        inner = escape(_NO_XML.sub("?", _text(shape.type_name, value)))
    return f"<{name}>{inner}</{name}>"


def _text(kind: str, value: Any) -> str:
    if kind == "timestamp":
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(value).lower() if isinstance(value, bool) else str(value)
