"""STS: who the caller is. In the local AWS that is always the account's root."""

from __future__ import annotations

from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError, not_offered
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.settings import Context

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def answer(context: Context, request: Request) -> HTTPAnswer:
    """STS's answer in the query protocol.

    Raises:
        ServiceError: any operation but GetCallerIdentity.
    """
    operation = operation_of(request)
    if operation != "GetCallerIdentity":
        raise not_offered(f"sts:{operation}" if operation else "a request without an Action")
    account = context.settings.account
    members = {"Arn": f"arn:aws:iam::{account}:root", "UserId": account, "Account": account}
    result = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members.items())
    document = (
        f'<GetCallerIdentityResponse xmlns="{NAMESPACE}">'
        f"<GetCallerIdentityResult>{result}</GetCallerIdentityResult>"
        f"<ResponseMetadata><RequestId>{request.id}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )
    headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request.id}
    return HTTPAnswer(200, headers, document.encode())


def operation_of(request: Request) -> str:
    """The `Action` of a query-protocol request; empty where it names none."""
    try:
        form = dict(parse_qsl(request.document().decode("utf-8"), keep_blank_values=True))
    except UnicodeDecodeError:
        raise ServiceError("MalformedQueryString", "The request body is not UTF-8") from None
    return form.get("Action") or request.query.get("Action", "")
