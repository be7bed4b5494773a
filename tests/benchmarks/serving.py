"""Tokens per second and time to first token of chat servers over HTTP, with 1, 4 and 16 clients at once.

    python tests/benchmarks/serving.py [--repeats 3] [--servers naive transformers batching ours] [--json]

One model for all (SmolLM2-135M-Instruct in bfloat16, its end token put out of reach), greedy, 48 new tokens,
streamed, prompts of different lengths. Servers run one at a time and take turns, so that what disturbs the
machine disturbs all of them. `naive` is FastAPI with `generate` behind a lock, `transformers` and `batching`
are `transformers serve` plain and with bounded continuous batching (needs `transformers[serving]`;
--transformers names the program), `ours` is this library's server. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection, socket
from typing import Any

from ift_sagemaker.catalog.weights import WeightsCache

MODEL = "smollm2-135m-instruct"
NEW_TOKENS = 48
END = 49_151
CLIENTS = (1, 4, 16)
TOPICS = ("a river", "bread", "the moon", "a bicycle", "winter", "chess", "a lighthouse", "tea")
NAIVE = """
import json, sys, threading, torch, uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

folder, port = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
app, lock = FastAPI(), threading.Lock()


@app.get("/ping")
def ping():
    return {}


@app.post("/v1/chat/completions")
def chat(body: dict):
    inputs = tokenizer.apply_chat_template(
        body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )

    def pieces():
        with lock:
            streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
            options = {"max_new_tokens": body["max_tokens"], "do_sample": False, "streamer": streamer}
            threading.Thread(target=model.generate, kwargs={**inputs, **options}).start()
            for text in streamer:
                yield "data: " + json.dumps({"choices": [{"delta": {"content": text}}]}) + "\\n\\n"
        yield "data: [DONE]\\n\\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
"""


@dataclass(frozen=True)
class Server:
    """How one is started on a port, and where it answers."""

    command: Callable[[Path, int], list[str]]
    path: str = "/v1/chat/completions"
    health: str = "/ping"
    most_clients: int = 16


def _servers(transformers: str) -> dict[str, Server]:
    def serve(*more: str) -> Callable[[Path, int], list[str]]:
        return lambda folder, port: [transformers, "serve", str(folder), "--port", str(port), *more]

    bounded = ("--continuous-batching", "--cb-num-blocks", "32", "--cb-max-batch-tokens", "512")
    return {
        "naive": Server(lambda folder, port: [sys.executable, "-c", NAIVE, str(folder), str(port)]),
        "transformers": Server(serve(), health="/health"),
        "batching": Server(serve(*bounded), health="/health"),
        "ours": Server(
            lambda _, __: [sys.executable, "-m", "ift_sagemaker.container", "serve"],
            "/invocations",
            "/ping",
            64,
        ),
    }


def _checkpoint(folder: Path) -> Path:
    """A copy of the weights whose end token never comes, so that every answer has all its tokens."""
    weights = WeightsCache().find(MODEL) or WeightsCache().pull(MODEL)
    shutil.copytree(weights.folder, folder)
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**settings, "eos_token_id": END}))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    last = next(text for text, number in tokenizer["model"]["vocab"].items() if number == END)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": last}))
    return folder


@dataclass
class Heard:
    """When the pieces of one answer came, in seconds since it was asked for."""

    times: list[float]


async def _ask(port: int, path: str, model: Path, number: int) -> Heard:
    topic = TOPICS[number % len(TOPICS)]
    more = " Say what it is for, who has it, and what it is made of." * (number % 3)
    question = f"Write a few sentences about {topic}, number {number}.{more}"
    body = json.dumps(
        {
            "model": str(model),
            "messages": [{"role": "user", "content": question}],
            "max_tokens": NEW_TOKENS,
            "temperature": 0,
            "stream": True,
        }
    ).encode()
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    )
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    times, status = [], await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"{status!r}: {await reader.read()!r}")
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:]).get("choices") or [{}]
            if choices[0].get("delta", {}).get("content"):
                times.append(time.perf_counter() - began)
    writer.close()
    if not times:
        raise RuntimeError("an answer without text")
    return Heard(times)


async def _measure(port: int, path: str, model: Path, clients: int) -> dict[str, float]:
    """Every client asks twice, one question after the other."""

    async def client(number: int) -> list[Heard]:
        return [await _ask(port, path, model, number), await _ask(port, path, model, number + 100)]

    began = time.perf_counter()
    heard = [one for answers in await asyncio.gather(*map(client, range(clients))) for one in answers]
    seconds = time.perf_counter() - began
    first = sorted(one.times[0] for one in heard)
    gaps = [(one.times[-1] - one.times[0]) / (NEW_TOKENS - 1) for one in heard]
    return {
        "tokens_per_second": round(len(heard) * NEW_TOKENS / seconds, 1),
        "first_token_p50": round(statistics.median(first), 3),
        "first_token_p95": round(first[int(0.95 * (len(first) - 1))], 3),
        "token_p50": round(statistics.median(gaps), 4),
    }


def _wait_until_healthy(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                if b" 200 " in connection.recv(64):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the server does not become healthy")


def _run(server: Server, folder: Path, ml_root: Path, counts: Sequence[int]) -> dict[str, Any]:
    """One life of a server."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(port), "IFT_ML_ROOT": str(ml_root)}
    log = ml_root.with_name("server.log")
    began = time.perf_counter()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            server.command(folder, port),
            env={**environment, "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait_until_healthy(port, server.health, process, log)
            ready = time.perf_counter() - began
            asyncio.run(_ask(port, server.path, folder, 0))
            found = {str(count): asyncio.run(_measure(port, server.path, folder, count)) for count in counts}
            status = Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {"ready_seconds": round(ready, 1), "peak_mib": peak // 1024, "clients": found}


def _medians(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = runs[0]["clients"]
    return {
        "ready_seconds": statistics.median(run["ready_seconds"] for run in runs),
        "peak_mib": statistics.median(run["peak_mib"] for run in runs),
        "clients": {
            count: {
                name: statistics.median(run["clients"][count][name] for run in runs) for name in counts[count]
            }
            for count in counts
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--servers", nargs="+", default=["naive", "transformers", "batching", "ours"])
    parser.add_argument("--transformers", default=str(Path(sys.executable).with_name("transformers")))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    servers = _servers(options.transformers)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.servers}
    with tempfile.TemporaryDirectory(prefix="ift-serving-") as work:
        ml_root = Path(work) / "ml"
        folder = _checkpoint(ml_root / "model")
        for repeat in range(options.repeats):
            for name in options.servers:
                counts = [*CLIENTS, *((64,) if servers[name].most_clients >= 64 else ())]
                runs[name].append(_run(servers[name], folder, ml_root, counts))
                print(f"{repeat + 1}/{options.repeats} {name}: {json.dumps(runs[name][-1])}", file=sys.stderr)
    medians = {name: _medians(found) for name, found in runs.items()}
    if options.json:
        print(json.dumps({"runs": runs, "medians": medians, "ratios": _ratios(medians)}, indent=2))
        return
    for name, found in medians.items():
        print(f"{name}: ready after {found['ready_seconds']} s, peak {found['peak_mib']:.0f} MiB")
        for count, figures in found["clients"].items():
            print(f"  {count:>2} clients: {figures['tokens_per_second']:7.1f} tokens/s,", end=" ")
            print(
                f"first token p50 {figures['first_token_p50']} s, p95 {figures['first_token_p95']} s,",
                end=" ",
            )
            print(f"each further {figures['token_p50'] * 1000:.0f} ms")
    for name, found in _ratios(medians).items():
        print(f"ours against {name}: {json.dumps(found)}")


def _ratios(medians: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of ours to each of the others, by number of clients: tokens per second, and time to the first token."""
    ours = medians.get("ours", {}).get("clients", {})
    return {
        name: {
            f"{figure} at {count}": round(ours[count][figure] / found["clients"][count][figure], 3)
            for count in found["clients"]
            for figure in ("tokens_per_second", "first_token_p50")
        }
        for name, found in medians.items()
        if name != "ours" and ours
    }


if __name__ == "__main__":
    main()
