from __future__ import annotations

import pytest

from ift_sagemaker.contract import names
from ift_sagemaker.errors import ConfigError

FINGERPRINT = "0123456789abcdef"


def test_a_job_name_is_prefix_slug_and_twelve_digits() -> None:
    assert names.job_name("smollm2-135m-instruct", FINGERPRINT) == "ift-smollm2-135m-instruct-0123456789ab"


def test_an_evaluation_has_its_suffix_before_the_attempt() -> None:
    assert names.evaluation_name("m", FINGERPRINT, 2) == "ift-m-0123456789ab-eval-2"


def test_a_long_id_keeps_both_its_ends() -> None:
    short = names.slug("meta-textgeneration-llama-3-2-1b-instruct")
    assert short == "meta-textgenerat-1b-instruct"
    assert len(short) == names.MAX_SLUG


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [("Org/Model_1.5", "org-model-1-5"), ("--a--b--", "a-b"), ("", "model"), ("日本", "model"), ("Ä1", "1")],
)
def test_a_slug_has_only_lowercase_letters_digits_and_single_hyphens(model_id: str, expected: str) -> None:
    assert names.slug(model_id) == expected


def test_attempts_are_numbered_from_the_second_on() -> None:
    first, second = names.job_name("m", FINGERPRINT), names.job_name("m", FINGERPRINT, 2)
    assert (names.attempt_of(first), names.attempt_of(second)) == (1, 2)
    assert names.base_name(second) == names.base_name(first) == first


def test_a_fingerprint_of_digits_only_is_no_attempt() -> None:
    name = names.job_name("a-aaaaaaaaaaaa", "123456789012")
    assert names.attempt_of(name) == 1
    assert names.base_name(name) == name


def test_names_from_elsewhere_are_first_attempts_of_themselves() -> None:
    assert names.attempt_of("my-job-2") == 1
    assert names.base_name("my-job-2") == "my-job-2"


def test_resources_of_a_job_carry_its_name() -> None:
    job = names.job_name("m", FINGERPRINT)
    assert names.model_name(job) == job
    assert names.endpoint_name(job) == job
    assert names.endpoint_config_name(job) == f"{job}-config"


def test_long_names_from_elsewhere_stay_distinct_when_cut() -> None:
    one, other = "j" * 62 + "1", "j" * 62 + "2"
    assert names.endpoint_config_name(one) != names.endpoint_config_name(other)
    assert len(names.endpoint_config_name(one)) == names.MAX_NAME


@pytest.mark.parametrize("fingerprint", ["", "0123", "0123456789AB", "0123456789zz"])
def test_a_wrong_fingerprint_is_refused(fingerprint: str) -> None:
    with pytest.raises(ConfigError, match="12 lowercase hex digits"):
        names.job_name("m", fingerprint)


@pytest.mark.parametrize("attempt", [0, -1, 1000])
def test_an_attempt_outside_its_range_is_refused(attempt: int) -> None:
    with pytest.raises(ConfigError, match="outside 1 to 999"):
        names.job_name("m", FINGERPRINT, attempt)


def test_a_name_without_a_letter_or_digit_is_refused() -> None:
    with pytest.raises(ConfigError, match="no letter or digit"):
        names.model_name("--")
