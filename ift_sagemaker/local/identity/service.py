"""STS and IAM in the query protocol: a request read and checked by its shape, handled, and printed."""

from __future__ import annotations

from dataclasses import dataclass

from ift_sagemaker.contract import shapes
from ift_sagemaker.local.identity import query, role_policies, roles, sessions
from ift_sagemaker.local.identity.caller import Handler, caller_of
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError, not_offered, query_error
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.settings import Context


@dataclass(frozen=True)
class QueryService:
    """One of the two: botocore's name, the XML namespace, and what it can do."""

    name: str
    namespace: str
    operations: dict[str, Handler]

    def answer(self, context: Context, request: Request) -> HTTPAnswer:
        """The service's answer.

        Raises:
            ServiceError: the operation is not offered, or the request is refused.
        """
        form = query.form_of(request)
        operation = form.get("Action", "")
        handler = self.operations.get(operation)
        if handler is None:
            raise not_offered(f"{self.name}:{operation}" if operation else "a request without an Action")
        model = shapes.service_model(self.name).operation_model(operation)
        params = query.read(form, model.input_shape)
        misshapen = shapes.violations(self.name, operation, params)
        if misshapen:
            noun = "error" if len(misshapen) == 1 else "errors"
            raise ServiceError(
                "ValidationError", f"{len(misshapen)} validation {noun} detected: {'; '.join(misshapen)}"
            )
        result = handler(context, caller_of(context, request), params)
        document = query.printed(operation, model.output_shape, result, self.namespace, request.id)
        headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request.id}
        return HTTPAnswer(200, headers, document.encode())

    def print_error(self, error: ServiceError, request: Request) -> HTTPAnswer:
        return query_error(error, request.id, self.namespace)


STS = QueryService("sts", "https://sts.amazonaws.com/doc/2011-06-15/", sessions.OPERATIONS)
IAM = QueryService(
    "iam", "https://iam.amazonaws.com/doc/2010-05-08/", {**roles.OPERATIONS, **role_policies.OPERATIONS}
)
