"""The routes that are not our own: intent in, uploads and exact requests out."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import catalog
from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.weights import Weights, describe
from ift_sagemaker.errors import ConfigError, CostLimitError, UnsupportedError
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.forms import form_of
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.roads import PLANNERS, road_of
from ift_sagemaker.plan.routes.container import Rows
from ift_sagemaker.plan.routes.job import RouteInputs
from ift_sagemaker.plan.routes.jumpstart import refuse_stand_in
from ift_sagemaker.plan.spec import Compute, Customization, FineTuneSpec

TODAY = date(2026, 11, 24)
ROLE = "arn:aws:iam::123456789012:role/execution"
ROWS = Rows({"train.jsonl": b"{}\n"}, "c" * 64, 100)
LLAMA = "meta-textgeneration-llama-3-1-70b"
LLAMA_2 = "meta-textgeneration-llama-2-7b"
GEMMA = "huggingface-llm-gemma-2b-instruct"
BERT = "huggingface-spc-bert-base-cased"
FLAN = "huggingface-text2text-flan-t5-base"
DIFFUSION = "model-txt2img-stabilityai-stable-diffusion-v2-1-base"
QWEN = "huggingface-reasoning-qwen3-06b"
NOVA = "nova-textgeneration-micro"
BEDROCK_NOVA = "amazon.nova-micro-v1:0:128k"


def _place(region: str = "us-east-1") -> Place:
    return Place(region, "123456789012", "bucket", ROLE)


def _plan(
    model_id: str,
    *,
    validation: Rows | None = None,
    compute: dict[str, Any] | None = None,
    how: dict[str, Any] | None = None,
    region: str = "us-east-1",
    stand_in: Weights | None = None,
    **hyperparameters: Any,
) -> RoutePlan:
    model = catalog.find(model_id)
    asked = Customization(**{"accept_eula": True, **(how or {})})
    road = road_of(model, TODAY, asked.route)
    written = "label" if "classification" in model.tasks[0] else "alpaca"
    spec = FineTuneSpec(
        model=model_id,
        hyperparameters={name.replace("__", "-"): value for name, value in hyperparameters.items()},
        compute=Compute(**(compute or {})),
        customization=asked,
    )
    inputs = RouteInputs(
        spec, model, road, form_of(model, road, written), ROWS, validation, stand_in=stand_in
    )
    plan = PLANNERS[road.route](inputs, _place(region))
    plan.check()
    return plan


def _job(plan: RoutePlan) -> Any:
    return plan.call("CreateTrainingJob")


def _channels(plan: RoutePlan) -> dict[str, Any]:
    return {channel["ChannelName"]: channel for channel in _job(plan)["InputDataConfig"]}


def _uri(channel: Any) -> str:
    return str(channel["DataSource"]["S3DataSource"]["S3Uri"])


# -- jumpstart


def test_every_model_whose_spec_is_at_hand_gives_a_request_that_aws_takes() -> None:
    for model_id in load("launch.json")["models"]:
        if "neuron" not in model_id:
            plan = _plan(model_id)
            assert plan.route == "jumpstart"
            assert _job(plan)["AlgorithmSpecification"]["TrainingImage"].startswith("763104351884.dkr.ecr.")


def test_a_spec_sets_image_script_artefact_instance_volume_runtime_and_metrics() -> None:
    job, channels = _job(_plan(GEMMA)), _channels(_plan(GEMMA))
    assert job["ResourceConfig"]["InstanceType"] == "ml.g5.2xlarge"
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 360_000}
    assert job["OutputDataConfig"]["CompressionType"] == "NONE"
    assert len(job["AlgorithmSpecification"]["MetricDefinitions"]) == 2
    assert job["EnableNetworkIsolation"] is True
    assert job["EnableInterContainerTrafficEncryption"] is True
    assert _uri(channels["code"]).startswith("s3://jumpstart-cache-prod-us-east-1/source-directory-tarballs/")
    assert "/g5/" in _uri(channels["model"])
    big = _channels(_plan(GEMMA, compute={"instance_type": "ml.p4d.24xlarge"}))
    assert "/p4d/" in _uri(big["model"])


def test_the_image_finds_its_script_by_the_hyperparameters_of_the_spec() -> None:
    sent = _job(_plan(FLAN))["HyperParameters"]
    assert sent["sagemaker_program"] == "transfer_learning.py"
    assert sent["sagemaker_submit_directory"] == "/opt/ml/input/data/code/sourcedir.tar.gz"
    assert all(isinstance(value, str) for value in sent.values())


def test_a_licence_is_accepted_in_the_model_channel_of_the_gated_bucket() -> None:
    model = _channels(_plan(LLAMA))["model"]
    assert _uri(model).startswith("s3://jumpstart-private-cache-prod-us-east-1/meta-training/g5/")
    assert model["DataSource"]["S3DataSource"]["ModelAccessConfig"] == {"AcceptEula": True}
    assert _job(_plan(LLAMA))["Environment"] == {"IFT_MODEL_ID": LLAMA}, "not by an environment variable"
    assert "ModelAccessConfig" not in json.dumps(_job(_plan(FLAN)))


@pytest.mark.parametrize("model_id", [LLAMA, GEMMA, "meta-textgeneration-llama-3-2-1b-instruct"])
def test_a_gated_model_is_refused_with_the_address_of_its_licence(model_id: str) -> None:
    with pytest.raises(ConfigError, match=r"gated: read its licence at https://.*accept_eula"):
        _plan(model_id, how={"accept_eula": False})


def test_the_form_of_the_rows_decides_instruction_or_chat_tuning() -> None:
    sent = _job(_plan("meta-textgeneration-llama-2-7b-f"))["HyperParameters"]
    assert (sent["instruction_tuned"], sent["chat_dataset"]) == ("True", "False")
    with pytest.raises(ConfigError, match="the rows are jumpstart-instruction"):
        _plan(LLAMA, instruction_tuned="False")


def test_berts_names_keep_their_hyphens_on_the_wire() -> None:
    sent = _job(_plan(BERT, adam__learning__rate=3e-5))["HyperParameters"]
    assert sent["adam-learning-rate"] == "3e-05"
    with pytest.raises(ConfigError, match="did you mean adam-learning-rate"):
        _plan(BERT, learning_rate=1e-4)


def test_a_deprecated_default_instance_gives_way_and_a_note_says_so() -> None:
    plan = _plan(BERT)
    assert _job(plan)["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    assert any("ml.p3.2xlarge" in note for note in plan.notes)


def test_an_instance_type_that_the_spec_does_not_name_is_refused_with_those_it_names() -> None:
    with pytest.raises(ConfigError, match=r"its spec names ml\.g5\.48xlarge, ml\.p4d\.24xlarge"):
        _plan(LLAMA, compute={"instance_type": "ml.g5.xlarge"})


def test_weights_that_the_spec_has_for_another_family_only_are_not_guessed() -> None:
    with pytest.raises(UnsupportedError, match="it has those for g5"):
        _plan(LLAMA_2, compute={"instance_type": "ml.p3dn.24xlarge"})


def test_what_was_asked_of_time_volume_and_keys_wins_over_the_spec() -> None:
    job = _job(
        _plan(
            GEMMA,
            compute={"max_runtime_in_seconds": 3600, "spot": True, "output_kms_key": "key"},
        )
    )
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert job["OutputDataConfig"]["KmsKeyId"] == "key"


def test_a_plan_says_which_version_of_the_spec_it_follows() -> None:
    assert any("version 2.16.2" in note for note in _plan(LLAMA).notes)
    assert any("unverified" in note for note in _plan(DIFFUSION).notes)
    tags = {tag["Key"]: tag["Value"] for tag in _job(_plan(LLAMA))["Tags"]}
    assert tags["sagemaker-sdk:jumpstart-model-id"] == LLAMA
    assert tags["sagemaker-sdk:jumpstart-model-version"] == "2.16.2"


def test_the_cost_of_a_jumpstart_job_is_a_ceiling() -> None:
    cost = _plan(GEMMA, compute={"max_runtime_in_seconds": 3480}).cost
    assert cost is not None
    assert cost.ceiling_usd == pytest.approx(1.515)


def test_a_stand_in_changes_name_tags_and_uploads_and_nothing_else_of_the_request(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = describe("smollm2-135m-instruct", tmp_path)
    alone, plan = _plan(LLAMA_2), _plan(LLAMA_2, stand_in=weights)
    changed = {field for field in _job(plan) if _job(plan)[field] != _job(alone)[field]}
    assert changed == {"TrainingJobName", "Tags"}
    tags = {tag["Key"]: tag["Value"] for tag in _job(plan)["Tags"]}
    assert tags["ift:stand-in"] == "smollm2-135m-instruct"
    (key,) = [upload.key for upload in plan.uploads if upload.key.endswith("config.json")]
    assert tags["ift:stand-in-weights"] == f"s3://bucket/{key.removesuffix('config.json')}"
    assert f"stand-in: smollm2-135m-instruct trained in place of {LLAMA_2}" in plan.notes


@pytest.mark.parametrize(
    ("model_id", "local", "says"),
    [
        (LLAMA_2, False, "by the local AWS alone"),
        (QWEN, True, "on route jumpstart alone"),
        (BERT, True, "does text generation"),
        (FLAN, True, "does text generation"),
        ("meta-textgenerationneuron-llama-2-7b", True, "on Trainium"),
    ],
)
def test_a_stand_in_is_a_local_rehearsal_of_a_text_generating_jumpstart_model(
    model_id: str, local: bool, says: str
) -> None:
    model = catalog.find(model_id)
    refuse_stand_in(catalog.find(LLAMA_2), road_of(catalog.find(LLAMA_2), TODAY), local=True)
    with pytest.raises(UnsupportedError, match=says):
        refuse_stand_in(model, road_of(model, TODAY), local=local)


# -- serverless


@pytest.mark.parametrize("model_id", [QWEN, NOVA, "openai-reasoning-gpt-oss-120b"])
def test_a_serverless_job_names_no_image_and_no_machines(model_id: str) -> None:
    job = _job(_plan(model_id))
    assert not {"AlgorithmSpecification", "ResourceConfig", "HyperParameters"} & job.keys()
    assert job["ServerlessJobConfig"]["BaseModelArn"].endswith(f"/SageMakerPublicHub/Model/{model_id}")
    assert job["ServerlessJobConfig"]["Peft"] == "LORA"


def test_every_serverless_model_gives_a_request_that_aws_takes_and_no_two_share_a_name() -> None:
    plans = [
        _plan(m.model_id, how={"route": "serverless"}) for m in catalog.models() if "serverless" in m.routes
    ]
    assert len(plans) == 35
    assert len({plan.name for plan in plans}) == len(plans)


def test_full_tuning_leaves_the_adapter_out_where_the_model_has_it() -> None:
    assert "Peft" not in _job(_plan(QWEN, how={"full": True}))["ServerlessJobConfig"]
    with pytest.raises(UnsupportedError, match=r"has no SFT by route serverless; it has .*SFT-LORA"):
        _plan("openai-reasoning-gpt-oss-120b", how={"full": True})


def test_the_weights_land_in_a_package_group_that_is_made_before() -> None:
    plan = _plan(QWEN)
    assert [call.operation for call in plan.calls] == ["CreateModelPackageGroup", "CreateTrainingJob"]
    group = plan.call("CreateModelPackageGroup")["ModelPackageGroupName"]
    arn = _job(plan)["ModelPackageConfig"]["ModelPackageGroupArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:model-package-group/{group}"


def test_only_hyperparameters_that_were_asked_for_are_sent_to_a_recipe() -> None:
    assert _job(_plan(QWEN, lora_rank=32, merge_weights=False))["HyperParameters"] == {
        "lora_rank": "32",
        "merge_weights": "False",
    }
    with pytest.raises(ConfigError, match="one of 8, 16, 32"):
        _plan(QWEN, lora_rank=31)
    with pytest.raises(ConfigError, match="holds 4096 at most"):
        _plan(QWEN, dataset_max_len=8192)


def test_novas_rows_are_read_as_converse_and_it_lives_in_one_region() -> None:
    source = _channels(_plan(NOVA))["train"]["DataSource"]["S3DataSource"]
    assert source["S3DataType"] == "Converse"
    with pytest.raises(ConfigError, match="is tuned in us-east-1, not in eu-west-1"):
        _plan(NOVA, region="eu-west-1")


def test_machines_are_not_chosen_where_aws_chooses_them() -> None:
    with pytest.raises(ConfigError, match="leave out instance_type, spot"):
        _plan(QWEN, compute={"instance_type": "ml.g5.xlarge", "spot": True})
    with pytest.raises(ConfigError, match="no machines"):
        _plan(BEDROCK_NOVA, compute={"volume_size_in_gb": 10})


@pytest.mark.parametrize("technique", ["DPO", "RLVR", "RLAIF", "CPT"])
def test_techniques_whose_rows_are_not_written_yet_are_refused(technique: str) -> None:
    with pytest.raises(UnsupportedError, match="not offered yet"):
        _plan(QWEN, how={"technique": technique})


# -- recipe


def test_a_recipe_job_is_checked_and_then_refused_for_what_is_missing() -> None:
    with pytest.raises(UnsupportedError, match=r"fits recipe .*sft_lora.*route serverless asks for the same"):
        _plan(QWEN, how={"route": "recipe"})
    with pytest.raises(ConfigError, match="one of 8, 16, 32"):
        _plan(QWEN, how={"route": "recipe"}, lora_rank=31)
    with pytest.raises(ConfigError, match=r"runs on ml\.g4dn\.xlarge; they run on"):
        _plan(NOVA, how={"route": "recipe"}, compute={"instance_type": "ml.g4dn.xlarge"})


# -- bedrock


def test_a_bedrock_job_names_file_base_and_token() -> None:
    plan = _plan(BEDROCK_NOVA, validation=ROWS, epochCount=3, learningRate=1e-5)
    job = plan.call("CreateModelCustomizationJob")
    assert job["baseModelIdentifier"] == BEDROCK_NOVA
    assert job["trainingDataConfig"] == {"s3Uri": f"s3://bucket/ift/data/{'c' * 64}/train.jsonl"}
    assert job["validationDataConfig"]["validators"] == [job["trainingDataConfig"]]
    assert job["hyperParameters"] == {"epochCount": "3", "learningRate": "0.00001"}
    assert job["clientRequestToken"] == job["jobName"] == plan.name


def test_every_living_bedrock_model_of_text_gives_a_request_that_aws_takes() -> None:
    planned = []
    for model in catalog.models():
        road = model.road("bedrock")
        if (
            road
            and road.state(TODAY) == "active"
            and "SFT" in road.techniques
            and "text-generation" in model.tasks
        ):
            planned.append(_plan(model.model_id, region=road.regions[0]))
    assert len(planned) == 7


def test_hyperparameters_that_bedrock_does_not_list_are_refused_and_none_are_sent() -> None:
    llama = "meta.llama3-3-70b-instruct-v1:0:128k"
    job = _plan(llama, region="us-west-2").call("CreateModelCustomizationJob")
    assert "hyperParameters" not in job
    with pytest.raises(UnsupportedError, match="no list of them is known"):
        _plan(llama, region="us-west-2", epochCount=2)
    with pytest.raises(ConfigError, match="us-west-2, not in us-east-1"):
        _plan(llama)


def test_reinforcement_tuning_on_bedrock_is_not_offered() -> None:
    model = catalog.find("qwen.qwen3-32b")
    inputs = RouteInputs(FineTuneSpec(model=model.model_id), model, model.roads[0], "bedrock-converse", ROWS)
    with pytest.raises(UnsupportedError, match="the model has RFT"):
        PLANNERS["bedrock"](inputs, _place("us-west-2"))


# -- export


def test_an_export_is_files_with_what_is_to_be_said_and_no_request() -> None:
    plan = _plan("gpt-4.1-2025-04-14", validation=ROWS)
    assert not plan.calls
    assert not plan.uploads
    assert set(plan.files) == {"train.jsonl", "validation/train.jsonl"}
    text = str(plan)
    assert "2027-01-06" in text
    assert "--to openai" in text
    assert "nothing was sent" in text
    assert "role" not in text
    with pytest.raises(ConfigError, match="files alone"):
        _plan("gpt-4.1-2025-04-14", n_epochs=3)


def test_claudes_files_are_written_where_they_are_asked_for() -> None:
    plan = _plan("anthropic.claude-3-haiku-20240307-v1:0:200k", how={"route": "export"})
    assert "no service is known that still takes them" in plan.notes[0]


# -- all of them


@pytest.mark.parametrize("model_id", [FLAN, QWEN, BEDROCK_NOVA])
def test_what_decides_the_weights_changes_the_name_and_the_rest_does_not(model_id: str) -> None:
    name = _plan(model_id).name
    assert _plan(model_id, compute={"max_runtime_in_seconds": 3600}).name == name
    assert _plan(model_id, validation=ROWS).name != name
    parameter: dict[str, Any] = {
        FLAN: {"epochs": 4},
        QWEN: {"max_epochs": 4},
        BEDROCK_NOVA: {"epochCount": 4},
    }[model_id]
    assert _plan(model_id, **parameter).name != name


@pytest.mark.parametrize("model_id", [LLAMA, QWEN, BEDROCK_NOVA, "gpt-4.1-2025-04-14"])
def test_a_plan_is_plain_data_and_prints_what_would_be_sent(model_id: str) -> None:
    plan = _plan(model_id)
    found = json.loads(json.dumps(plan.to_dict()))
    assert found["model"] == model_id
    assert [request["operation"] for request in found["requests"]] == [call.operation for call in plan.calls]
    assert ("123456789012" in str(plan)) is bool(plan.calls)
    assert "nothing was" in plan.summary
    assert plan.summary.splitlines()[-1] in str(plan)
    assert "<pre>" in plan._repr_html_()
    with pytest.raises(KeyError):
        plan.call("DeleteEverything")


def test_every_upload_fills_a_channel() -> None:
    plan = _plan(QWEN, validation=Rows({"train.jsonl": b"[]"}, "e" * 64, 1))
    uris = {_uri(channel) for channel in _channels(plan).values()}
    assert {f"s3://bucket/{upload.key.rpartition('/')[0]}/" for upload in plan.uploads} == uris


# -- limits and prices


def test_a_limit_lowers_the_longest_run_of_a_jumpstart_job() -> None:
    plan = _plan(LLAMA_2, compute={"max_cost": 20.0})
    assert plan.cost is not None
    assert plan.cost.ceiling_usd is not None
    assert 19.9 < plan.cost.ceiling_usd <= 20.0
    seconds = _job(plan)["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert seconds == plan.cost.max_runtime_in_seconds
    assert plan.name == _plan(LLAMA_2).name


def test_a_limit_that_leaves_a_jumpstart_job_no_minute_names_the_least_one() -> None:
    with pytest.raises(CostLimitError, match=r"0\.36 USD is the least limit"):
        _plan(LLAMA_2, compute={"max_cost": 0.1})
    seconds = _job(_plan(LLAMA_2, compute={"max_cost": 0.36}))["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert seconds >= 60


@pytest.mark.parametrize("model_id", [QWEN, BEDROCK_NOVA])
def test_a_limit_is_refused_where_a_route_charges_by_the_token(model_id: str) -> None:
    with pytest.raises(CostLimitError, match="charges by the token"):
        _plan(model_id, compute={"max_cost": 20.0})


def test_a_jumpstart_job_has_the_price_of_its_region_or_none() -> None:
    here, there = _plan(LLAMA_2), _plan(LLAMA_2, region="eu-central-1")
    assert here.cost is not None
    assert here.cost.usd_per_hour == pytest.approx(7.09)
    assert there.cost is not None
    assert there.cost.usd_per_hour is None
    with pytest.raises(CostLimitError, match=r"no price known for 1 x .* in eu-central-1"):
        _plan(LLAMA_2, region="eu-central-1", compute={"max_cost": 20.0})


@pytest.mark.parametrize("model_id", [LLAMA, QWEN, BEDROCK_NOVA])
def test_what_decides_comes_first_and_fits_a_terminal_of_80_columns(model_id: str) -> None:
    summary = _plan(model_id).summary
    assert max(len(line) for line in summary.splitlines() if "/" not in line) <= 80
    where = [line.split()[0] for line in summary.splitlines()[1:] if line[2:3].isalpha()]
    assert where[:3] == ["model", "where", "cost"]


def test_a_jumpstart_model_without_its_spec_says_where_to_get_it_and_what_can_be_planned_instead() -> None:
    with pytest.raises(UnsupportedError, match="describe-hub-content") as caught:
        _plan("huggingface-tc-bert-base-cased")
    assert "--hub-content-name huggingface-tc-bert-base-cased. Put it into" in caught.value.message
    assert caught.value.message.endswith(f"Of the family bert this catalogue has it of {BERT}.")
    with pytest.raises(UnsupportedError, match=r"under launch: and hyperparameters:\.$"):
        _plan("huggingface-llm-mistral-7b")
