"""The requests of the routes that are shown and not run: one for each family that can be planned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from ift_sagemaker.catalog import find
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.forms import form_of
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.roads import PLANNERS, road_of
from ift_sagemaker.plan.routes.container import Rows
from ift_sagemaker.plan.routes.job import RouteInputs
from ift_sagemaker.plan.spec import Compute, Customization, FineTuneSpec

DAY = date(2026, 11, 24)
"""The day of the catalogue: the page does not change because a day passes."""
FAMILIES = (
    ("Llama", "meta-textgeneration-llama-3-1-70b", "alpaca"),
    ("Gemma", "huggingface-llm-gemma-2b-instruct", "chat"),
    ("Flan-T5", "huggingface-text2text-flan-t5-base", "alpaca"),
    ("BERT", "huggingface-spc-bert-base-cased", "label"),
    ("Stable Diffusion", "model-txt2img-stabilityai-stable-diffusion-v2-1-base", "images"),
    ("GPT, open weights", "openai-reasoning-gpt-oss-20b", "alpaca"),
    ("Qwen", "huggingface-reasoning-qwen3-06b", "alpaca"),
    ("DeepSeek", "deepseek-llm-r1-distill-qwen-1-5b", "alpaca"),
    ("Nemotron", "huggingface-reasoning-nvidia-nemotron-3-nano-30b-a3b-bf16", "alpaca"),
    ("Nova on SageMaker", "nova-textgeneration-micro", "alpaca"),
    ("Nova on Bedrock", "amazon.nova-micro-v1:0:128k", "alpaca"),
    ("Llama on Bedrock", "meta.llama3-3-70b-instruct-v1:0:128k", "alpaca"),
)
_ROWS = Rows({"train.jsonl": b"{}\n"}, "d" * 64, 346)


def plan_of(model_id: str, written: str, role: str) -> RoutePlan:
    """The checked plan of one model, in the first region that has it, its licence accepted."""
    model = find(model_id)
    road = road_of(model, DAY)
    region = road.regions[0] if road.regions else "us-east-1"
    place = Place(region, "123456789012", f"sagemaker-{region}-123456789012", role)
    spec = FineTuneSpec(
        model=model_id,
        compute=Compute(max_runtime_in_seconds=4 * 3600),
        customization=Customization(accept_eula=model.gated),
    )
    inputs = RouteInputs(spec, model, road, form_of(model, road, written), _ROWS)
    plan = PLANNERS[road.route](inputs, place)
    plan.check()
    return plan


def calls(role: str) -> Iterator[tuple[str, dict[str, object]]]:
    """(title, parameters) of every call of every family."""
    for family, model_id, written in FAMILIES:
        plan = plan_of(model_id, written, role)
        for call in plan.calls:
            yield f"{family}, route {plan.route}: {call.service} {call.operation}", dict(call.params)
