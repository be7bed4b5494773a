"""What is to be said of an estimate in words: what it rests on, and what may go wrong."""

from __future__ import annotations

from ift_sagemaker.catalog.accelerators import accelerators
from ift_sagemaker.catalog.instances import instances
from ift_sagemaker.plan.estimate import FITS, TIGHT, TOO_SMALL, Estimate
from ift_sagemaker.plan.quantities import GIB

NOT_CALIBRATED = "not calibrated on this machine"


def assumptions(found: Estimate) -> tuple[str, ...]:
    """What the figures rest on."""
    target, known = found.target, instances().get(found.target.compute.instance_type)
    lines = [f"tokens: {found.tokens.how}"]
    if not found.subject.shape.stated:
        lines.append("layers and widths derived from the number of parameters, as usual for that size")
    speed = accelerators().get(known.accelerator or "") if known else None
    if speed is not None:
        low, likely, high = (f"{share:.0%}" for share in speed.share)
        lines.append(
            f"speed: {low} to {high}, likely {likely}, of {speed.tflops:g} TFLOP/s dense 16-bit peak "
            f"({speed.name}); an assumption, not measured"
        )
    if found.price is not None:
        lines.append(f"price: {found.price.usd_per_hour:g} USD an hour, {found.price.origin}")
    lines.append(
        f"billed beyond MaxRuntime: up to {found.margin_seconds} s, to come up, to stop (120 s) and to upload"
    )
    if target.compute.spot:
        lines.append("spot: no price feed exists; likely 0.35 of on demand, at most all of it")
    if target.calibration is not None:
        calibration = target.calibration
        lines.append(
            f"this machine: {calibration.tokens_per_second.likely:.0f} tokens/s over "
            f"{calibration.steps} steps of {calibration.job_name}"
        )
    elif target.local:
        lines.append(f"{NOT_CALIBRATED}: no job of the model with these settings has ended here")
    return tuple(lines)


def warnings(found: Estimate) -> tuple[str, ...]:
    """What may go wrong, the worst first."""
    return (*_machine_warnings(found), *_money_warnings(found), *_row_warnings(found))


def confidence(found: Estimate) -> str:
    """Of time and money: none, low or medium; high is for what was measured, after the run."""
    if found.training_seconds is None:
        return "none"
    known = found.tokens.counted and found.subject.shape.stated and found.fit == FITS
    return "medium" if known else "low"


def _machine_warnings(found: Estimate) -> list[str]:
    name, need = found.target.compute.instance_type, found.memory.total
    known = instances().get(name)
    lines = []
    if known is None:
        return [f"{name} is not in the catalogue: nothing is known of its memory and speed"]
    if found.fit == TOO_SMALL:
        lines.append(f"does not fit: likely {_gib(need.likely)} of {_gib(found.memory_available)} of memory")
    if found.fit == TIGHT:
        lines.append(f"may not fit: up to {_gib(need.high)} of {_gib(found.memory_available)} of memory")
    if known.accelerator and known.accelerator not in accelerators():
        lines.append(f"no speed known for {known.accelerator}: no estimate of time")
    if not known.accelerator:
        lines.append(f"no speed known for processors such as {name}'s: no estimate of time")
    if known.accelerator in accelerators() and not accelerators()[known.accelerator].bfloat16:
        lines.append(
            f"{known.accelerator} has no bfloat16 arithmetic: training there is slow and was never tried"
        )
    if found.disk_available is not None and found.disk.likely > found.disk_available:
        disk = f"{found.disk.likely / 1e9:.0f} of {found.disk_available / 1e9:.0f} GB"
        lines.append(f"the disk is too small: likely {disk}")
    return lines


def _money_warnings(found: Estimate) -> list[str]:
    compute, region = found.target.compute, found.target.region
    lines = []
    if found.price is None:
        elsewhere = ", ".join(
            f"{price.usd_per_hour:g} in {price.region}"
            for price in found.target.prices.elsewhere(compute.instance_type)
        )
        lines.append(
            f"no price known for {compute.instance_type} in {region}"
            f"{f' (USD an hour elsewhere: {elsewhere})' if elsewhere else ''}; a price file can state it"
        )
    seconds, most = found.billable_seconds, compute.max_runtime_in_seconds
    if seconds is not None and seconds.likely > most:
        lines.append(f"MaxRuntime of {most} s is likely to stop it; what it leaves is marked unfinished")
    elif seconds is not None and seconds.high > most:
        lines.append(f"MaxRuntime of {most} s may stop it; what it leaves is marked unfinished")
    return lines


def _row_warnings(found: Estimate) -> list[str]:
    longest, most = found.tokens.longest, found.training.max_length
    if longest <= most:
        return []
    sure = "the longest row has" if found.tokens.counted else "the longest row may have"
    return [f"{sure} {longest:.0f} tokens and max_input_length is {most}"]


def _gib(value: float | None) -> str:
    return "?" if value is None else f"{value / GIB:.1f} GiB"
