"""The whole path with a limit in USD: what the live test tells on AWS, rehearsed on the local AWS."""

from __future__ import annotations

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.plan.deployments.vllm import DEFAULT_INSTANCE_TYPE
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.session import Session

MODEL = "smollm2-135m-instruct"
HOUR = 3600.0
SETTINGS = {"epoch": 1, "max_input_length": 256, "per_device_train_batch_size": 2}


def tell(session: Session, rows: InstructionDataset, most_usd: float) -> float:
    """What training cost, in USD. Half of the limit is for training, half for an hour of the endpoint.

    Fails before anything bills where the account lacks something or a price is not known.
    """
    half = most_usd / 2
    report = session.doctor(MODEL)
    assert not report.missing, str(report)
    price = session.prices.find(DEFAULT_INSTANCE_TYPE, session.client.identity().region)
    assert price is not None, f"no price known of {DEFAULT_INSTANCE_TYPE}: state it in IFT_PRICES"
    assert price.usd_per_hour <= half, f"an hour of the endpoint is {price.usd_per_hour} USD of {half}"

    train, test = rows.split(test_size=0.25, seed=0)
    job = session.fine_tune(MODEL, train, hyperparameters=SETTINGS, compute=Compute(max_cost=half))
    job.wait(timeout=2 * HOUR)
    spent = job.cost().usd
    assert spent is not None
    assert spent <= half

    with job.deploy(wait=False) as endpoint:
        endpoint.wait(timeout=HOUR / 2)
        answer = endpoint.invoke(test.prompt(test[0]), max_tokens=5)
        assert answer.finish_reason in {"stop", "length"}
    return spent
