"""The files that tuning services take: a table. Each writes what it holds whole and names the rest."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ift_sagemaker.data.reading import images
from ift_sagemaker.data.reading.sources import REMOTE
from ift_sagemaker.data.rows.formats import BEDROCK_SCHEMA, joined_prompt
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.rows.labels import LABELS_FILE, LabelError, Labels
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.rows import TRAIN_FILE
from ift_sagemaker.wire.template import ALPACA, TEMPLATE_FILE, PromptTemplate

# https://docs.aws.amazon.com/nova/latest/userguide/fine-tune-prepare-data-understanding.html
NOVA_RESERVED = re.compile(r"User:|Bot:|Assistant:|System:|<image>|<video>|\[EOS\]")


class NotHeldError(Exception):
    """A target cannot hold a row whole; the text says what would be lost."""


class NotWritableError(NotHeldError):
    """A row holds what JSON in UTF-8 has not; the rules may name the field."""


class ReservedWordError(NotHeldError):
    """A row has a word that the service keeps for itself."""


class Sheet:
    """What is written beside the rows: the template, the numbers given to labels, the images to copy.

    `images_at` is the address in S3 where a folder's images will lie.
    """

    def __init__(
        self,
        template: PromptTemplate | None,
        labels: Mapping[str, int] | None = None,
        images_at: str | None = None,
    ) -> None:
        self.template = template or ALPACA
        self.labels = Labels(labels)
        self.images_at = images_at
        self.prompts: dict[str, str] = {}
        self.copies: dict[str, str] = {}
        """Address of every file that is copied, by the name of its copy."""

    def number(self, label: str) -> int:
        try:
            return self.labels.number(label)
        except LabelError as error:
            raise NotHeldError(str(error)) from None

    def copied(self, address: str, folder: str = "") -> str:
        """The name of an image's copy; raises NotHeldError where two images would have the same."""
        name = folder + address.rsplit("/", 1)[-1]
        if not name.lower().endswith(images.SUFFIXES):
            raise NotHeldError(f"{address}: images are {', '.join(images.SUFFIXES)}")
        if self.copies.setdefault(name, address) != address:
            raise NotHeldError(f"two images named {name}")
        return name


Write = Callable[[Row, Sheet], bytes]


@dataclass(frozen=True)
class Target:
    """One kind of training file. `writers` by the canonical format of the rows; `minimum` and `maximum` rows.

    `beside` gives further files once all rows are written; without a `file` there are these alone. `advised`
    rows are the service's advice, `max_tokens` is of one row, question and answer together, `max_bytes` of
    the file; None where nothing is known. `source` is where the limits stand.
    """

    name: str
    title: str
    writers: Mapping[str, Write]
    file: str | None = TRAIN_FILE
    minimum: int = 1
    maximum: int | None = None
    advised: int | None = None
    max_tokens: int | None = None
    max_bytes: int | None = None
    source: str = ""
    beside: Callable[[Sheet], Mapping[str, bytes]] = field(default=lambda _: {})


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return _slowly(row)


def _slowly(row: Mapping[str, Any]) -> bytes:
    """The line of a row that orjson refuses: numbers beyond 64 bits are JSON all the same."""
    try:
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        raise NotWritableError("half of a surrogate pair, which is no character") from None
    except (TypeError, ValueError) as error:
        raise NotWritableError(f"what JSON has not: {error}") from None


def _turns(row: Row, sheet: Sheet) -> list[Row]:
    """An instruction row as its two turns."""
    return [
        {"role": "user", "content": sheet.template.render_prompt(row)},
        {"role": "assistant", "content": sheet.template.render_completion(row)},
    ]


def _without_tools(row: Row) -> list[Row]:
    turns: list[Row] = row["messages"]
    if row.get("tools") or any("tool_calls" in turn or turn["role"] == "tool" for turn in turns):
        raise NotHeldError("calls of tools")
    return turns


def _single(row: Row, *, system: bool) -> tuple[str, str, str]:
    """System text, question and answer of a conversation that has no more than these."""
    turns = _without_tools(row)
    first = turns[0]["content"] if turns[0]["role"] == "system" else ""
    talk = turns[1:] if first else turns
    if len(talk) != 2:
        raise NotHeldError(f"{len(talk) - 2} of {len(talk)} turns")
    if first and not system:
        raise NotHeldError("the system text")
    return first, talk[0]["content"], talk[1]["content"]


def _pair(question: str, answer: str, *, system: bool = False) -> dict[str, Write]:
    """Writers of a question and an answer under two names."""

    def of_alpaca(row: Row, sheet: Sheet) -> bytes:
        prompt, completion = (turn["content"] for turn in _turns(row, sheet))
        return _line({question: prompt, answer: completion})

    def of_chat(row: Row, _: Sheet) -> bytes:
        first, prompt, completion = _single(row, system=system)
        return _line({**({"system": first} if first else {}), question: prompt, answer: completion})

    return {"alpaca": of_alpaca, "chat": of_chat}


def _fields(names: Mapping[str, str], *, system: bool = False, rest: bool = True) -> dict[str, Write]:
    """Writers of instruction, input and output under the names of a format."""

    def of_alpaca(row: Row, _: Sheet) -> bytes:
        kept = row.items() if rest else ((key, row[key]) for key in names if key in row)
        return _line({names.get(key, key): value for key, value in kept})

    def of_chat(row: Row, _: Sheet) -> bytes:
        first, prompt, completion = _single(row, system=system)
        whole = {"instruction": prompt, "input": "", "output": completion}
        written = {names[key]: value for key, value in whole.items()}
        return _line({**written, **({"system": first} if first else {})})

    return {"alpaca": of_alpaca, "chat": of_chat}


def _jumpstart_instruction() -> dict[str, Write]:
    def of_alpaca(row: Row, sheet: Sheet) -> bytes:
        fields = sheet.template.fields
        return _line(row if row.keys() == {*fields} else {name: row[name] for name in fields if name in row})

    return {**_fields(_SAME), "alpaca": of_alpaca}


def _conversation(write: Callable[[list[Row], Row], Row]) -> dict[str, Write]:
    return {
        "alpaca": lambda row, sheet: _line(write(_turns(row, sheet), {})),
        "chat": lambda row, _: _line(write(row["messages"], row)),
    }


def _dialog(turns: list[Row], row: Row) -> Row:
    return {"dialog": _without_tools({**row, "messages": turns})}


def _openai(turns: list[Row], row: Row) -> Row:
    kept = ("tools", "parallel_tool_calls")
    return {"messages": turns, **{key: row[key] for key in kept if row.get(key) is not None}}


def _converse(turns: list[Row], row: Row) -> Row:
    turns = _without_tools({**row, "messages": turns})
    first = turns[0]["content"] if turns[0]["role"] == "system" else ""
    talk = turns[1:] if first else turns
    return {
        "schemaVersion": BEDROCK_SCHEMA,
        **({"system": [{"text": first}]} if first else {}),
        "messages": [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in talk],
    }


def _nova(turns: list[Row], row: Row) -> Row:
    for turn in turns:
        found = NOVA_RESERVED.search(turn["content"]) if turn["role"] != "assistant" else None
        if found:
            raise ReservedWordError(f"the reserved word {found[0]!r}, which fails a Nova job")
    return _converse(turns, row)


def _claude(turns: list[Row], row: Row) -> Row:
    turns = _without_tools({**row, "messages": turns})
    first = turns[0]["content"] if turns[0]["role"] == "system" else ""
    return {**({"system": first} if first else {}), "messages": turns[1:] if first else turns}


_SAID = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def _sharegpt(turns: list[Row], row: Row) -> Row:
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    return {"conversations": [_sharegpt_turn(turn) for turn in turns], **tools}


def _sharegpt_turn(turn: Row) -> Row:
    calls = turn.get("tool_calls")
    if turn.get("tool_call_id") or any(call.get("id") for call in calls or ()):
        raise NotHeldError("the ids of calls")
    if not calls:
        return {"from": _SAID[turn["role"]], "value": turn["content"]}
    if len(calls) > 1 or turn.get("content"):
        raise NotHeldError("a turn with several calls, or with a call and a text")
    return {"from": "function_call", "value": json.dumps(calls[0]["function"], ensure_ascii=False)}


def _openai_preference(row: Row, _: Sheet) -> bytes:
    if len([turn for turn in row["messages"] if turn["role"] == "user"]) > 1:
        raise NotHeldError("all turns but the last: OpenAI's preferences have one")
    return _line(
        {
            "input": {"messages": row["messages"]},
            "preferred_output": [{"role": "assistant", "content": row["chosen"]}],
            "non_preferred_output": [{"role": "assistant", "content": row["rejected"]}],
        }
    )


def _preference(row: Row, _: Sheet) -> bytes:
    return _line(
        {
            "prompt": row["messages"],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
    )


def _text(row: Row, _: Sheet) -> bytes:
    if re.search(r"\n\s*\n", row["text"]) or row["text"] != row["text"].strip("\r\n"):
        raise NotHeldError("blank lines inside a text: in plain text they part texts")
    if "\r\n" in row["text"] or row["text"].startswith("\ufeff"):
        raise NotHeldError("line breaks of two characters, or a byte order mark, inside a text")
    text: str = row["text"]
    return text.encode() + b"\n\n"


def _labelled(text: str, second: str | None, label: str, sheet: Sheet) -> bytes:
    out = io.StringIO()
    cells = [sheet.number(label), text, *([second] if second is not None else [])]
    # Python before 3.13 leaves a lone carriage return without quotes, and readers take it for a line break
    if "\r" in f"{text}{second}":
        csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(cells)
    else:
        csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()


_CLASSIFIED: dict[str, Write] = {
    "label": lambda row, sheet: _labelled(row["text"], row.get("second_text"), row["label"], sheet),
    "alpaca": lambda row, sheet: _labelled(joined_prompt(row), None, row["output"], sheet),
}


def _template_beside(sheet: Sheet) -> Mapping[str, bytes]:
    return {TEMPLATE_FILE: sheet.template.to_json().encode()}


def _labels_beside(sheet: Sheet) -> Mapping[str, bytes]:
    gap = sheet.labels.gap()
    if gap is not None:
        raise NotHeldError(f"labels with a gap: they are numbers, and none is {gap}; give a map of labels")
    return {LABELS_FILE: json.dumps(sheet.labels.names, ensure_ascii=False, indent=1).encode()}


def _dreambooth(row: Row, sheet: Sheet) -> bytes:
    prompts = {"instance_prompt": row["caption"]}
    if "class_prompt" in row:
        prompts["class_prompt"] = row["class_prompt"]
    if sheet.prompts and sheet.prompts != prompts:
        raise NotHeldError("a prompt of an image's own: all have one instance_prompt")
    sheet.prompts = prompts
    sheet.copied(row["image"])
    return b""


def _prompts_beside(sheet: Sheet) -> Mapping[str, bytes]:
    return {images.INFO_FILE: json.dumps(sheet.prompts, ensure_ascii=False).encode()}


def _captioned(shortest: int, longest: int) -> dict[str, Write]:
    """Writers of Bedrock's pairs of an image in S3 and its caption of so many characters."""

    def of_image(row: Row, sheet: Sheet) -> bytes:
        image, caption = row["image"], row["caption"]
        if "class_prompt" in row:
            raise NotHeldError("a class_prompt")
        if not shortest <= len(caption) <= longest:
            raise NotHeldError(f"a caption of {len(caption)} characters: it has {shortest} to {longest}")
        if not image.startswith(REMOTE):
            if sheet.images_at is None:
                raise NotHeldError(f"the image {image}, which is not in S3: say where it will be (images_at)")
            image = f"{sheet.images_at.rstrip('/')}/{sheet.copied(image, 'images/')}"
        return _line({"image-ref": image, "caption": caption})

    return {"image": of_image}


_SAME = {name: name for name in ("instruction", "input", "output")}
_BEDROCK_PAGE = "Bedrock user guide, model-customization-prepare"
_DOLLY = {"instruction": "instruction", "input": "context", "output": "response"}

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target(
            "jumpstart-instruction",
            "JumpStart instruction tuning: train.jsonl with template.json",
            _jumpstart_instruction(),
            beside=_template_beside,
        ),
        Target("jumpstart-chat", "JumpStart chat tuning", _conversation(_dialog)),
        Target("domain-text", "JumpStart domain adaptation: plain text", {"text": _text}, file="train.txt"),
        Target(
            "bert",
            "JumpStart text classification: data.csv with numbered labels, and labels.json",
            _CLASSIFIED,
            file="data.csv",
            beside=_labels_beside,
        ),
        Target(
            "bedrock-prompt-completion",
            "Bedrock, Llama 3.1",
            _pair("prompt", "completion"),
            minimum=100,
            maximum=10_000,
            max_tokens=16_000,
            source=_BEDROCK_PAGE,
        ),
        Target(
            "bedrock-converse",
            "Bedrock, Llama 3.3: Converse",
            _conversation(_converse),
            minimum=100,
            maximum=10_000,
            max_tokens=16_000,
            source=_BEDROCK_PAGE,
        ),
        Target(
            "bedrock-nova",
            "Nova on Bedrock and in recipes: Converse",
            _conversation(_nova),
            minimum=8,
            maximum=20_000,
            advised=100,
            max_tokens=32_000,
            source="Nova user guide, data preparation",
        ),
        Target(
            "openai",
            "OpenAI chat",
            _conversation(_openai),
            minimum=10,
            advised=50,
            source="OpenAI guide, supervised fine-tuning",
        ),
        Target(
            "stable-diffusion",
            "JumpStart Stable Diffusion (DreamBooth): images with dataset_info.json",
            {"image": _dreambooth},
            file=None,
            beside=_prompts_beside,
        ),
        Target(
            "bedrock-image",
            "Titan Image Generator, Nova Canvas (no longer offered): images in S3 and captions",
            _captioned(3, 1024),
            minimum=5,
            maximum=10_000,
        ),
        Target(
            "bedrock-embedding",
            "Titan Multimodal Embeddings: images in S3 and captions",
            _captioned(1, 2560),
            minimum=1_000,
            maximum=500_000,
        ),
        Target("openai-preference", "OpenAI preferences (DPO)", {"preference": _openai_preference}),
        Target("preference", "preference pairs as TRL has them", {"preference": _preference}),
        Target(
            "anthropic",
            "Claude 3 on Bedrock (no model left to tune)",
            _conversation(_claude),
            minimum=32,
            maximum=10_000,
            max_tokens=32_000,
            max_bytes=10 << 30,
            source=_BEDROCK_PAGE,
        ),
        Target("sharegpt", "ShareGPT conversations", _conversation(_sharegpt)),
        Target("alpaca", "Alpaca rows", _fields(_SAME, system=True)),
        Target("dolly", "Dolly rows", _fields(_DOLLY)),
        Target(
            "prompt-completion",
            "prompt and completion, as SageMaker's serverless tuning has them",
            _pair("prompt", "completion", system=True),
            max_bytes=1 << 30,
            source="SageMaker's serverless tuning, dataset evaluation",
        ),
        Target("question-answer", "question and answer", _pair("question", "answer")),
    )
}


def target_named(name: str, field: str) -> Target:
    """The target of that name; raises ConfigError, about the setting `field`, where there is none."""
    if name not in TARGETS:
        raise ConfigError(
            f"no target {name!r}; there are {', '.join(TARGETS)}",
            field=field,
            value=name,
            allowed=", ".join(TARGETS),
        )
    return TARGETS[name]
