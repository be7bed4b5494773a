"""InvokeEndpointWithResponseStream: every piece that the container writes goes out at once.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException

from ift_sagemaker.local.hosting import eventstream
from ift_sagemaker.local.hosting.admission import PREFIX, Admission, admit, refuse_parts
from ift_sagemaker.local.hosting.exchange import Exchange, TooLarge
from ift_sagemaker.local.hosting.runtime import (
    PASSED,
    check_size,
    handed_on,
    opened,
    refuse_errors,
)
from ift_sagemaker.local.protocol.errors import HTTPAnswer
from ift_sagemaker.local.state.settings import Context

OPERATION = "InvokeEndpointWithResponseStream"
_MAX_MESSAGE = 2048
_MAX_ERROR = 1 << 16


class Pieces:
    """A WSGI body: the container's pieces, each through `wrap`; what breaks it goes through `broken`.

    Its `close`, which a client's leaving brings about as well, hangs up on the container.
    """

    def __init__(
        self,
        exchange: Exchange,
        admission: Admission,
        wrap: Callable[[bytes], bytes],
        broken: Callable[[Exception], bytes],
    ) -> None:
        self._exchange, self._admission = exchange, admission
        self._wrap, self._broken = wrap, broken

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self._exchange.piece():
                yield self._wrap(data)
        except Exception as error:  # noqa: BLE001 - the answer has begun: only the stream itself can tell
            last = self._broken(error)
            self.close()  # a client may go no further than this event
            yield last
        finally:
            self.close()

    def close(self) -> None:
        self._exchange.close()
        self._admission.release()


def invoke_with_response_stream(
    context: Context, endpoint_name: str, headers: Mapping[str, str], body: bytes
) -> HTTPAnswer:
    """The container's answer as an event stream. `headers` have lower-case names.

    Raises:
        ServiceError: as InvokeEndpoint, for all that is known before the first byte of the answer.
    """
    refuse_parts(OPERATION, headers)
    # this operation has the client's Accept under another name than InvokeEndpoint
    accept = headers.get(f"{PREFIX}accept")
    plain = {key: name for key, name in PASSED.items() if key != "accept"}
    passed = {name: headers[key] for key, name in plain.items() if key in headers}
    exchange, admission = begin(
        context,
        admit(context, endpoint_name, headers.get(f"{PREFIX}target-variant", "")),
        {**passed, **({"Accept": accept} if accept else {})},
        body,
    )
    try:
        if exchange.status >= 400:
            refuse_errors(context, admission, exchange.status, first_bytes(exchange))
        told = {
            "Content-Type": eventstream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": exchange.headers.get("content-type", "application/octet-stream"),
            **handed_on(exchange, admission),
        }
        return HTTPAnswer(200, told, Pieces(exchange, admission, _part, _error_event))
    except BaseException:
        exchange.close()
        admission.release()
        raise


def begin(
    context: Context, admission: Admission, headers: Mapping[str, str], body: bytes
) -> tuple[Exchange, Admission]:
    """The exchange once the container has given its status; a ServiceError otherwise."""
    try:
        check_size(body, context.settings.payload_bytes)
        return opened(context, admission, headers, body, context.settings.stream_in_seconds), admission
    except BaseException:
        admission.release()
        raise


def first_bytes(exchange: Exchange) -> bytes:
    """The text of a container's error, as far as it came."""
    text = bytearray()
    with suppress(TooLarge, OSError, HTTPException):
        exchange.drain(text.extend, _MAX_ERROR)
    return bytes(text)


def _part(data: bytes) -> bytes:
    return eventstream.event("PayloadPart", data)


def _error_event(error: Exception) -> bytes:
    if isinstance(error, TimeoutError):
        code = "ModelInvocationTimeExceeded"
        text = "The model failed to finish sending the response within the time that is allowed"
    elif isinstance(error, (OSError, HTTPException)):
        code, text = (
            "StreamBroken",
            f"The connection to the model was closed: {type(error).__name__}: {error}",
        )
    else:
        text = f"The local AWS failed: {type(error).__name__}: {error}"
        return eventstream.exception("InternalStreamFailure", {"Message": text[:_MAX_MESSAGE]})
    return eventstream.exception("ModelStreamError", {"Message": text[:_MAX_MESSAGE], "ErrorCode": code})
