from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.container.generation import Answer, Likely, Mark
from ift_sagemaker.container.invocations import Invocation, Served, parse_invocation
from ift_sagemaker.container.parameters import BadRequest
from ift_sagemaker.container.replies import reply
from tests.unit.container.tiny import encoder, make_tokenizer, turns

ENCODER = encoder()
CHAT = {"messages": [{"role": "user", "content": "two and two?"}]}
ANSWERS = [Answer("four", 3, "stop", ended=True)]


def parse(body: Any, context: int | None = 256) -> Invocation:
    return parse_invocation(body, ENCODER, Served(context, 300))


def refused(body: Any, context: int | None = 256) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(body, context)
    return caught.value


def test_a_chat_is_asked_through_the_chat_template() -> None:
    sampling = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "seed": 4, "model": "m"}
    (request,) = parse(CHAT | sampling).requests
    assert list(request.prompt) == ENCODER.prompt(turns("two and two?"))
    assert (request.max_new_tokens, request.temperature, request.top_p) == (9, 0.5, 0.9)
    assert (request.stop, request.seed) == (("x",), 4)


def test_an_answer_to_a_chat_is_an_openai_object() -> None:
    invocation = parse(CHAT | {"model": "m"})
    prompt = len(invocation.requests[0].prompt)
    assert reply(invocation, ANSWERS, "id", 123) == {
        "id": "chatcmpl-id",
        "object": "chat.completion",
        "created": 123,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "four"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 3, "total_tokens": prompt + 3},
    }


def test_a_prompt_is_completed_as_it_is() -> None:
    invocation = parse({"prompt": ["two", "one"], "max_tokens": 4})
    assert [list(request.prompt) for request in invocation.requests] == [
        make_tokenizer()(text)["input_ids"] for text in ("two", "one")
    ]
    answer = reply(invocation, ANSWERS * 2, "id", 1)
    assert answer["object"] == "text_completion"
    assert [choice["text"] for choice in answer["choices"]] == ["four", "four"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]


def test_inputs_are_a_user_turn_and_answered_as_tgi_does() -> None:
    invocation = parse({"inputs": "two and two?", "parameters": {"max_new_tokens": 5}})
    assert list(invocation.requests[0].prompt) == ENCODER.prompt(turns("two and two?"))
    assert reply(invocation, ANSWERS, "id", 1) == [{"generated_text": "four"}]
    both = parse({"inputs": ["a", "b"], "parameters": {"return_full_text": True}})
    assert reply(both, ANSWERS * 2, "id", 1) == [{"generated_text": "afour"}, {"generated_text": "bfour"}]


def test_inputs_are_plain_text_where_there_is_no_chat_template() -> None:
    tokenizer = make_tokenizer(None)
    (request,) = parse_invocation({"inputs": "two"}, encoder(tokenizer), Served()).requests
    assert list(request.prompt) == tokenizer("two")["input_ids"]


@pytest.mark.parametrize(
    ("parameters", "temperature"),
    [
        ({}, 0.0),
        ({"do_sample": False, "temperature": 0.7}, 0.0),
        ({"do_sample": True}, 1.0),
        ({"temperature": 0.7}, 0.7),
        ({"do_sample": True, "temperature": 0.3}, 0.3),
    ],
)
def test_do_sample_decides_whether_the_temperature_counts(
    parameters: dict[str, Any], temperature: float
) -> None:
    (request,) = parse({"inputs": "two", "parameters": parameters}).requests
    assert request.temperature == temperature


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages[0].role"),
        (CHAT | {"max_tokens": 0}, "max_tokens"),
        (CHAT | {"max_tokens": 1.5}, "max_tokens"),
        (CHAT | {"temperature": "hot"}, "temperature"),
        (CHAT | {"temperature": True}, "temperature"),
        (CHAT | {"top_p": 0}, "top_p"),
        (CHAT | {"top_p": 1.1}, "top_p"),
        (CHAT | {"stop": 3}, "stop"),
        (CHAT | {"stop": [""]}, "stop"),
        (CHAT | {"seed": -1}, "seed"),
        (CHAT | {"top_k": 1.5}, "top_k"),
        (CHAT | {"min_p": 1.1}, "min_p"),
        (CHAT | {"frequency_penalty": 2.1}, "frequency_penalty"),
        (CHAT | {"presence_penalty": "much"}, "presence_penalty"),
        (CHAT | {"repetition_penalty": 0}, "repetition_penalty"),
        (CHAT | {"repetition_penalty": float("nan")}, "repetition_penalty"),
        (CHAT | {"logit_bias": {"5": 101}}, "logit_bias"),
        (CHAT | {"logit_bias": {"300": 1}}, "logit_bias"),
        (CHAT | {"logit_bias": {"five": 1}}, "logit_bias"),
        (CHAT | {"logit_bias": [5]}, "logit_bias"),
        (CHAT | {"stop_token_ids": [300]}, "stop_token_ids"),
        (CHAT | {"stop_token_ids": [True]}, "stop_token_ids"),
        (CHAT | {"stop_token_ids": 5}, "stop_token_ids"),
        (CHAT | {"ignore_eos": 1}, "ignore_eos"),
        (CHAT | {"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        (CHAT | {"n": 0}, "n"),
        (CHAT | {"n": 65}, "n"),
        ({"prompt": ["a", "b"], "n": 33}, "n"),
        (CHAT | {"logprobs": 5}, "logprobs"),
        (CHAT | {"top_logprobs": 5}, "top_logprobs"),
        (CHAT | {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "messages[0].role"),
        ({"inputs": "a", "parameters": {"details": "all"}}, "parameters.details"),
        (CHAT | {"model": 3}, "model"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [1]}, "prompt"),
        ({"prompt": ["a"] * 17}, "prompt"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": ["a", "b"], "stream": True}, "inputs"),
        (CHAT | {"stream": "yes"}, "stream"),
        (CHAT | {"stream_options": {"include_usage": True}}, "stream_options"),
        ({"inputs": "a", "parameters": []}, "parameters"),
        ({"inputs": "a", "parameters": {"max_new_tokens": "9"}}, "parameters.max_new_tokens"),
        ({"inputs": "a", "parameters": {"do_sample": "yes"}}, "parameters.do_sample"),
    ],
)
def test_a_wrong_field_is_named(body: Any, field: str) -> None:
    error = refused(body)
    assert (error.field, error.status, error.kind) == (field, 400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (
            CHAT | {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
        ),
        (CHAT | {"tools": [{"type": "function"}]}, "tools"),
        (CHAT | {"best_of": 2}, "best_of"),
        (CHAT | {"prompt_logprobs": 1}, "prompt_logprobs"),
        (CHAT | {"response_format": {"type": "json_object"}}, "response_format"),
        (CHAT | {"guided_choice": ["a"]}, "guided_choice"),
        ({"inputs": "a", "parameters": {"frequency_penalty": 0.2}}, "parameters.frequency_penalty"),
        ({"inputs": "a", "parameters": {"top_n_tokens": 3}}, "parameters.top_n_tokens"),
    ],
)
def test_a_field_that_would_change_the_answer_is_not_passed_over(body: Any, field: str) -> None:
    error = refused(body)
    assert (error.field, error.status, error.kind) == (field, 400, "not_supported")


def test_fields_that_ask_for_nothing_are_taken() -> None:
    assert parse(CHAT | {"stream": False, "n": 1, "user": "u", "frequency_penalty": 0, "tools": []})


def test_sampling_is_asked_for_as_openai_and_vllm_name_it() -> None:
    asked = {
        "top_k": 5,
        "min_p": 0.1,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "repetition_penalty": 1.2,
        "min_tokens": 2,
        "ignore_eos": True,
    }
    lists = {"stop_token_ids": [7, 8], "logit_bias": {"5": -100, "6": 2.5}}
    (request,) = parse(CHAT | asked | lists).requests
    assert {name: getattr(request, name) for name in asked} == asked
    assert (request.stop_token_ids, request.logit_bias) == ((7, 8), ((5, -100.0), (6, 2.5)))
    assert parse(CHAT | {"top_k": -1, "temperature": 1e-9}).requests[0].is_greedy


def test_several_answers_to_a_prompt_throw_dice_of_their_own_and_count_it_once() -> None:
    invocation = parse({"prompt": ["two", "one"], "n": 3, "seed": 2**63 - 2, "temperature": 1})
    seeds = [request.seed for request in invocation.requests]
    assert seeds == [2**63 - 2, 2**63 - 1, 0] * 2
    prompts = [tuple(request.prompt) for request in invocation.requests]
    assert prompts[0] == prompts[1] == prompts[2] != prompts[3]
    answer = reply(invocation, ANSWERS * 6, "id", 1)
    assert [choice["index"] for choice in answer["choices"]] == [*range(6)]
    assert answer["usage"]["prompt_tokens"] == len(prompts[0]) + len(prompts[3])
    assert answer["usage"]["completion_tokens"] == 18


LIKELY = (Likely(5, "fo", -0.5), Likely(6, "\ufffd", -2.0))
MARKED = Answer("four", 2, "stop", ended=True, marks=(Mark(LIKELY[0], LIKELY, 0, special=False),))


def test_logprobs_of_a_chat_are_a_list_of_tokens() -> None:
    invocation = parse(CHAT | {"logprobs": True, "top_logprobs": 2})
    assert invocation.requests[0].logprobs == 2
    told = {"token": "fo", "logprob": -0.5, "bytes": [102, 111]}
    half = {"token": "\ufffd", "logprob": -2.0, "bytes": None}
    assert reply(invocation, [MARKED], "id", 1)["choices"][0]["logprobs"] == {
        "content": [{**told, "top_logprobs": [told, half]}],
        "refusal": None,
    }
    assert parse(CHAT | {"logprobs": True}).requests[0].logprobs == 0


def test_logprobs_of_a_completion_are_lists_side_by_side() -> None:
    invocation = parse({"prompt": "two", "logprobs": 2})
    assert reply(invocation, [MARKED], "id", 1)["choices"][0]["logprobs"] == {
        "tokens": ["fo"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"fo": -0.5, "\ufffd": -2.0}],
        "text_offset": [0],
    }
    assert parse({"prompt": "two", "logprobs": None}).requests[0].logprobs is None


def test_details_of_inputs_name_the_tokens_as_tgi_does() -> None:
    invocation = parse({"inputs": "two", "parameters": {"details": True, "seed": 3}})
    assert reply(invocation, [MARKED], "id", 1) == [
        {
            "generated_text": "four",
            "details": {
                "finish_reason": "eos_token",
                "generated_tokens": 2,
                "seed": 3,
                "prefill": [],
                "tokens": [{"id": 5, "text": "fo", "logprob": -0.5, "special": False}],
            },
        }
    ]


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers() -> None:
    error = refused(CHAT | {"max_tokens": 250})
    prompt = len(parse(CHAT).requests[0].prompt)
    assert error.kind == "context_length_exceeded"
    assert f"the prompt has {prompt} tokens and 250 more are asked for" in error.message
    assert "256 tokens" in error.message
    assert refused(CHAT, context=prompt).kind == "context_length_exceeded"


def test_without_a_limit_the_answer_may_fill_the_context_up_to_the_default() -> None:
    prompt = len(parse(CHAT).requests[0].prompt)
    assert parse(CHAT).requests[0].max_new_tokens == 256 - prompt
    assert parse(CHAT, context=4096).requests[0].max_new_tokens == 512
    assert parse(CHAT, context=None).requests[0].max_new_tokens == 512


def test_a_template_that_refuses_the_chat_names_the_messages() -> None:
    angry = encoder(make_tokenizer("{{ raise_exception('no') }}"))
    with pytest.raises(BadRequest) as caught:
        parse_invocation(CHAT, angry, Served())
    assert caught.value.field == "messages"
