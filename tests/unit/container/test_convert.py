from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from ift_sagemaker.container.convert import convert, convert_command
from ift_sagemaker.container.generation import GenerationRequest, generate
from ift_sagemaker.container.gguf_tokenizer import read_tokenizer
from ift_sagemaker.container.precision import Precision
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.weights import load_model, load_tokenizer
from ift_sagemaker.errors import UnsupportedError, WeightsError
from tests.unit.container.tiny import CHATML, END, make_model, make_tokenizer

FLOAT32 = Precision(torch.device("cpu"), torch.float32, "test")
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
}


def gguf_name(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key matrix in the order in which GGUF rotates them."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def write_tokenizer(writer: Any, kind: str) -> None:
    tokenizer = make_tokenizer()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([token for token, _ in ordered])
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(ordered) - 3))
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHATML)


def write_gguf(path: Path, kind: str = "gpt2") -> Path:
    """The tiny model as a GGUF file."""
    model = make_model()
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("a name of its own")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    write_tokenizer(writer, kind)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, weight in model.model.state_dict(prefix="model.").items():
        stored = gguf_name(name)
        kind = stored.split(".")[-2]
        value = interleaved(weight, heads[kind]) if kind in heads else weight
        writer.add_tensor(stored, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_the_checkpoint_answers_as_the_model_in_the_gguf(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "model")
    model, tokenizer = load_model(tmp_path / "model", FLOAT32), load_tokenizer(tmp_path / "model")
    request = GenerationRequest([5, 6, 7], 8)
    original = RoundDecoder(make_model().to(torch.bfloat16).float(), make_tokenizer(), {2})
    assert generate(RoundDecoder(model, tokenizer, {2}), [request]) == generate(original, [request])
    assert tokenizer("What is two?")["input_ids"] == make_tokenizer()("What is two?")["input_ids"]


def test_the_checkpoint_is_complete_and_knows_nothing_of_gguf(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert "transformers_version" not in config
    assert not {"quantization_config", "_model_name_or_path", "_name_or_path"} & set(config)
    generation = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (2, 2)
    settings = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    assert (settings["chat_template"], settings["eos_token"]) == (CHATML, END)
    assert settings["model_max_length"] == 256


def test_two_conversions_give_equal_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        convert(source, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_taken_target_and_a_file_of_another_kind_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("hello")
    with pytest.raises(WeightsError, match="not a GGUF file"):
        convert(tmp_path / "note", tmp_path / "model")
    with pytest.raises(WeightsError, match="not empty"):
        convert(source, tmp_path)


def test_numbers_are_split_into_digits_as_smollm_does(source: Path, tmp_path: Path) -> None:
    tokenizer = read_tokenizer(source, 256)
    assert tokenizer.tokenize("in 1984!") == ["i", "n", "Ġ", "1", "9", "8", "4", "!"]


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="'llama'"):
        read_tokenizer(write_gguf(tmp_path / "other.gguf", kind="llama"), 256)


def test_the_command_reports_on_standard_error_alone(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert_command(str(tmp_path / "absent.gguf"), str(tmp_path / "model")) == 1
    assert convert_command(str(source), str(tmp_path / "model")) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cannot convert" in captured.err
    assert "wrote" in captured.err
