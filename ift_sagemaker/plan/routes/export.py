"""Route `export`: checked files for a service that this library does not call. Nothing is sent."""

from __future__ import annotations

from ift_sagemaker.contract import names
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.routes.job import RouteInputs


def plan_export(inputs: RouteInputs, _: Place | None = None, attempt: int = 1) -> RoutePlan:
    """The files that `ift data convert` writes, with what is to be said of the service that takes them."""
    if inputs.spec.hyperparameters:
        raise ConfigError(
            "an export is files alone: hyperparameters go to the service that trains", field="hyperparameters"
        )
    inputs.refuse_instances()
    fingerprint = inputs.fingerprint({}, form=inputs.form)
    files = dict(inputs.training.files)
    if inputs.validation:
        files |= {f"validation/{name}": content for name, content in inputs.validation.files.items()}
    road = inputs.road
    until = f"no new job from {road.legacy_date}, off on {road.eol_date}" if road.legacy_date else ""
    write = f"write them: ift data convert ROWS FOLDER --to {inputs.form}"
    return RoutePlan(
        route="export",
        model_id=inputs.model.model_id,
        name=names.job_name(inputs.model.model_id, fingerprint, attempt),
        fingerprint=fingerprint,
        place=None,
        uploads=(),
        calls=(),
        rows=inputs.training.count,
        notes=tuple(note for note in (road.note, until, write) if note),
        files=files,
    )
