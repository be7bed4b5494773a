from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.catalog import FoundationModel, models
from ift_sagemaker.contract import names

MODEL_IDS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-._/ABC"), min_size=1, max_size=90)
FINGERPRINTS = st.text(st.sampled_from("0123456789abcdef"), min_size=12, max_size=64)
ATTEMPTS = st.integers(1, names.MAX_ATTEMPT)
ALLOWED = re.compile(r"[a-zA-Z0-9](-?[a-zA-Z0-9])*")


@given(MODEL_IDS, FINGERPRINTS, ATTEMPTS)
def test_every_derived_name_is_one_that_sagemaker_and_bedrock_accept(
    model_id: str, fingerprint: str, attempt: int
) -> None:
    job = names.job_name(model_id, fingerprint, attempt)
    evaluation = names.evaluation_name(model_id, fingerprint, attempt)
    derived = [names.model_name(job), names.endpoint_name(job), names.endpoint_config_name(job)]
    for name in [job, evaluation, *derived, names.endpoint_config_name(evaluation)]:
        assert len(name) <= names.MAX_NAME
        assert ALLOWED.fullmatch(name)


@given(MODEL_IDS, FINGERPRINTS, ATTEMPTS)
def test_attempt_and_first_name_can_be_read_back(model_id: str, fingerprint: str, attempt: int) -> None:
    for make in (names.job_name, names.evaluation_name):
        assert names.attempt_of(make(model_id, fingerprint, attempt)) == attempt
        assert names.base_name(make(model_id, fingerprint, attempt)) == make(model_id, fingerprint)


@given(st.text(max_size=200))
def test_a_slug_of_any_text_is_short_and_plain(model_id: str) -> None:
    slug = names.slug(model_id)
    assert 1 <= len(slug) <= names.MAX_SLUG
    assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", slug)
    assert names.slug(slug) == slug


@given(st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", fullmatch=True))
def test_resources_of_any_sagemaker_job_get_an_allowed_name(job: str) -> None:
    for name in (names.model_name(job), names.endpoint_name(job), names.endpoint_config_name(job)):
        assert len(name) <= names.MAX_NAME
        assert ALLOWED.fullmatch(name)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.model_id)
def test_every_id_of_the_catalogue_gives_names_that_the_service_takes(model: FoundationModel) -> None:
    job = names.job_name(model.model_id, "0123456789abcdef", 999)
    evaluation = names.evaluation_name(model.model_id, "0123456789abcdef", 999)
    endpoint = names.endpoint_name(job)
    everything = (job, evaluation, names.model_name(job), endpoint, names.endpoint_config_name(endpoint))
    for name in everything:
        assert len(name) <= names.MAX_NAME
        assert ALLOWED.fullmatch(name)
    assert names.base_name(job) == names.job_name(model.model_id, "0123456789abcdef")
