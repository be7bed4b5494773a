"""Many clients at one server process for a while: right ones, wrong ones, and those who leave.

What is checked is told in a Report; the server is stopped by SIGTERM in the middle of its work.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ift_sagemaker.wire.events import EventReader
from tests.e2e import tiny

START_SECONDS = 60
END_SECONDS = 29
"""SageMaker kills 30 s after SIGTERM."""
BEFORE_THE_SIGNAL = 0.5
"""Seconds after which a request that was sent has surely been accepted."""
ADAPTER = "small"
TOO_BIG = 6 * 2**20 + 1
WRONG = {
    b"{": 400,
    b"[]": 400,
    b'"text"': 400,
    b"\xff\xfe": 400,
    b"[" * 50_000: 400,
    b'{"prompt": "\\ud800"}': 400,
    b'{"prompt": "a", "temperature": NaN}': 400,
    b'{"prompt": "a", "logit_bias": {"999999": 1}}': 400,
    b'{"messages": [{"role": [], "content": "a"}]}': 400,
    b'{"prompt": "a", "tools": [1]}': 400,
    b'{"prompt": "a", "max_tokens": 100000}': 400,
}


def build(folder: Path) -> Path:
    """A tiny model with an adapter beside it."""
    import torch
    from transformers import AutoModelForCausalLM

    from ift_sagemaker.container.adapters import save_adapter, with_adapter
    from ift_sagemaker.wire.hyperparameters import parse_hyperparameters

    base = AutoModelForCausalLM.from_pretrained(tiny.build(folder))
    adapted = with_adapter(base, parse_hyperparameters({"lora_r": "4"}))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    save_adapter(adapted, "tiny", folder / "adapters" / ADAPTER)
    return folder


def right_bodies(count: int) -> list[dict[str, Any]]:
    """Requests of all kinds; each has one right answer."""
    kinds: list[dict[str, Any]] = [
        {},
        {"temperature": 1.0, "seed": 3, "top_p": 0.9, "top_k": 40},
        {"repetition_penalty": 1.3, "frequency_penalty": 0.4},
        {"n": 2, "temperature": 0.8, "seed": 8, "min_p": 0.01},
        {"stop": ["z", "qu"], "logit_bias": {"5": 2}},
        {"logprobs": True},
        {"model": ADAPTER},
    ]
    return [
        {
            "messages": [{"role": "user", "content": f"{'word ' * (place % 9)}number {place}?"}],
            "max_tokens": 4 + 7 * (place % 13),
            "ignore_eos": place % 2 == 0,
            **kinds[place % len(kinds)],
        }
        for place in range(count)
    ]


@dataclass
class Report:
    """What happened; `wrong` says what should not have."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)
    exit_code: int | None = None
    drained_in_seconds: float = 0.0

    @property
    def growth_mib(self) -> float:
        """How much more memory the last third of the time took than the second one."""
        third = max(1, len(self.resident_mib) // 3)
        return max(self.resident_mib[-third:]) - max(self.resident_mib[third:-third] or self.resident_mib)


@dataclass
class _Answer:
    status: int
    body: bytes


class Soak:
    """Clients of one server on a loopback port."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.report = port, Report()
        self._dice = random.Random(seed)
        self._wanted: list[tuple[dict[str, Any], list[str]]] = []
        self._over = asyncio.Event()
        self.signalled = float("inf")

    async def learn(self) -> None:
        """Asks for every right answer alone."""
        for body in right_bodies(28):
            answer = await self._ask(json.dumps(body).encode())
            assert answer.status == 200, answer.body
            self._wanted.append((body, _texts(json.loads(answer.body))))

    async def client(self) -> None:
        acts = [self._whole] * 6 + [self._streamed] * 6 + [self._leaves] * 3 + [self._wrongly] * 2
        while not self._over.is_set():
            act = self._too_big if self._dice.random() < 0.003 else self._dice.choice(acts)
            began = time.monotonic()
            try:
                self.report.counts[await act()] += 1
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                if began < self.signalled - BEFORE_THE_SIGNAL:
                    self._note(f"{act.__name__}: {error!r}")
                self.report.counts["not accepted"] += 1
                if time.monotonic() > self.signalled:
                    return

    def end(self) -> None:
        self._over.set()

    def _note(self, what: str) -> None:
        self.report.wrong.append(what[:300])

    async def _whole(self) -> str:
        body, wanted = self._dice.choice(self._wanted)
        answer = await self._ask(json.dumps(body).encode())
        if answer.status != 200:
            return self._refused(answer)
        if _texts(json.loads(answer.body)) != wanted:
            self._note(f"asked {body}: {answer.body!r}, wanted {wanted}")
        return "answered"

    async def _streamed(self) -> str:
        body, wanted = self._dice.choice(self._wanted)
        answer = await self._ask(json.dumps(body | {"stream": True}).encode())
        if answer.status != 200:
            return self._refused(answer)
        reader, texts = EventReader(), [""] * len(wanted)
        for document in reader.feed(answer.body):
            if "error" in document:
                return self._typed(document["error"], "in a stream")
            for choice in document["choices"]:
                texts[choice["index"]] += choice["delta"].get("content", "")
        if texts != wanted or not reader.ended:
            self._note(f"streamed {body}: {texts}, wanted {wanted}, ended {reader.ended}")
        return "streamed"

    async def _leaves(self) -> str:
        body, _ = self._dice.choice(self._wanted)
        content = json.dumps(body | {"stream": self._dice.random() < 0.5, "max_tokens": 300}).encode()
        part = content[: self._dice.choice([len(content), len(content), len(content) // 2])]
        reader, writer = await self._send(part, len(content))
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(self._dice.randrange(1, 600)), self._dice.random() / 10)
        writer.close()
        return "left"

    async def _wrongly(self) -> str:
        content, status = self._dice.choice([*WRONG.items()])
        return self._refused(await self._ask(content), status)

    async def _too_big(self) -> str:
        return self._refused(await self._ask(b" " * TOO_BIG), 413)

    def _refused(self, answer: _Answer, status: int | None = None) -> str:
        try:
            error = json.loads(answer.body)["error"]
        except (ValueError, KeyError, TypeError):
            self._note(f"status {answer.status} without a typed error: {answer.body!r}")
            return "untyped"
        if status is not None and answer.status not in (status, 503):
            self._note(f"status {answer.status} for {status}: {answer.body!r}")
        return self._typed(error, str(answer.status))

    def _typed(self, error: Mapping[str, Any], where: str) -> str:
        if where not in ("400", "413", "429") and time.monotonic() < self.signalled:
            self._note(f"{where}: {error}")
        return f"{error['type']} ({where})"

    async def _send(self, content: bytes, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()
        return reader, writer

    async def _ask(self, content: bytes) -> _Answer:
        reader, writer = await self._send(content, len(content))
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.read()
        finally:
            writer.close()
        if b"transfer-encoding: chunked" in head:
            body = _unchunked(body)
        return _Answer(int(head.split()[1]), body)


def _unchunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        body, raw = body + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
    return body


def _texts(document: Any) -> list[str]:
    return [choice["message"]["content"] for choice in document["choices"]]


@contextmanager
def server_process(root: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The serving program over `root`/model, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"IFT_ML_ROOT": str(root), "SAGEMAKER_BIND_TO_PORT": str(port), "IFT_DTYPE": "float32"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ift_sagemaker.container", "serve"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def soak(root: Path, seconds: float, clients: int = 64, seed: int = 0) -> Report:
    """Serves `root`/model to `clients` clients for `seconds`, then stops it while they go on."""
    with server_process(root) as (process, port):
        return asyncio.run(_soak(process, port, seconds, (clients, seed)))


async def _soak(process: subprocess.Popen[bytes], port: int, seconds: float, who: tuple[int, int]) -> Report:
    await _until_ready(process, port)
    soaking = Soak(port, who[1])
    await soaking.learn()
    tasks = [asyncio.create_task(soaking.client()) for _ in range(who[0])]
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        soaking.report.resident_mib.append(_resident_mib(process.pid))
        await asyncio.sleep(min(1.0, seconds / 20))
    process.send_signal(signal.SIGTERM)
    soaking.signalled = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        soaking.report.exit_code = await asyncio.to_thread(process.wait, END_SECONDS)
    soaking.report.drained_in_seconds = time.monotonic() - soaking.signalled
    soaking.end()
    await asyncio.wait_for(asyncio.gather(*tasks), END_SECONDS)
    return soaking.report


async def _until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.poll() is None:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                status = (await reader.readline()).split()
                writer.close()
                if status[1:2] == [b"200"]:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError(f"the server ended with {process.poll()}")


def _resident_mib(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0
