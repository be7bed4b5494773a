from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.container.generation import Answer
from ift_sagemaker.container.invocations import BadRequest, Invocation, parse_invocation, reply
from tests.unit.container.tiny import encoder, make_tokenizer, turns

ENCODER = encoder()
CHAT = {"messages": [{"role": "user", "content": "two and two?"}]}
ANSWERS = [Answer("four", 3, "stop", ended=True)]


def parse(body: Any, context: int | None = 256) -> Invocation:
    return parse_invocation(body, ENCODER, context)


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
    (request,) = parse_invocation({"inputs": "two"}, encoder(tokenizer), None).requests
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
        (CHAT | {"n": 2}, "n"),
        (CHAT | {"tools": [{"type": "function"}]}, "tools"),
        (CHAT | {"logprobs": True}, "logprobs"),
        (CHAT | {"presence_penalty": 1.0}, "presence_penalty"),
        (CHAT | {"guided_choice": ["a"]}, "guided_choice"),
        ({"inputs": "a", "parameters": {"repetition_penalty": 1.2}}, "parameters.repetition_penalty"),
        ({"inputs": "a", "parameters": {"details": True}}, "parameters.details"),
    ],
)
def test_a_field_that_would_change_the_answer_is_not_passed_over(body: Any, field: str) -> None:
    error = refused(body)
    assert (error.field, error.status, error.kind) == (field, 400, "not_supported")


def test_fields_that_ask_for_nothing_are_taken() -> None:
    assert parse(CHAT | {"stream": False, "n": 1, "user": "u", "frequency_penalty": 0, "tools": []})


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
        parse_invocation(CHAT, angry, None)
    assert caught.value.field == "messages"
