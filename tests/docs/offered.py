"""What the local AWS really offers: read from its own tables, and asked of it where it has none."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from ift_sagemaker.contract.shapes import service_model
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.json_services import SERVICES
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.s3 import service as s3
from ift_sagemaker.local.state.settings import LocalSettings

ASKED = ("sagemaker-runtime", "sts", "iam")
_PLAIN = Config(parameter_validation=False, retries={"total_max_attempts": 1})


def offered() -> dict[str, tuple[str, ...]]:
    """Operations by botocore's name of the service, each in the order of the service's model."""
    by_table = {service: set(import_module(module).OPERATIONS) for service, module in SERVICES.values()}
    by_table["s3"] = set(s3.OPERATIONS)
    with tempfile.TemporaryDirectory() as folder:
        context = create_context(LocalSettings(root=Path(folder) / "aws"))
        session = session_on(create_app(context), "us-east-1")
        by_table |= {service: _answered(session, service) for service in ASKED}
        context.store.close()
    return {service: tuple(sorted(names)) for service, names in by_table.items() if names}


def _answered(session: Any, service: str) -> set[str]:
    """The operations whose empty request is answered with anything but "not offered"."""
    client = session.client(service, config=_PLAIN)
    operations = client.meta.method_to_api_mapping
    return {operation for method, operation in operations.items() if _is_offered(client, service, method)}


def _is_offered(client: Any, service: str, method: str) -> bool:
    operation = service_model(service).operation_model(client.meta.method_to_api_mapping[method])
    shape = operation.input_shape
    needed = {
        name: "nobody"
        for name, member in (shape.members.items() if shape is not None else ())
        if member.serialization.get("location") == "uri"
    }
    try:
        getattr(client, method)(**needed)
    except ClientError as error:
        return error.response["Error"]["Code"] != "UnsupportedOperation"
    return True
