"""A thin subclass of `transformers.Trainer`: the loss of a step is the mean over all its trained tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from ift_sagemaker.container import resume
from ift_sagemaker.container.batching import StepBatches
from ift_sagemaker.container.lifecycle import StopRequest
from ift_sagemaker.container.loss import TokenLoss
from ift_sagemaker.container.precision import peak_memory_gib
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.metrics import format_metrics

Passes = Sequence[Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Schedule:
    """`steps` are the forward passes of every optimiser step of the run, all epochs after one another."""

    steps: StepBatches
    steps_per_epoch: int
    validation: Passes = ()

    @property
    def total(self) -> int:
        return len(self.steps)


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - metric lines are read from standard output


class TokenTrainer(Trainer):
    """Trainer whose batch is a whole optimiser step, cut into forward passes by length.

    Everything else (optimiser, schedule, clipping, checkpoints, resuming) is Trainer's own.
    """

    control: Any

    def __init__(
        self,
        *,
        loss: TokenLoss,
        schedule: Schedule,
        stop: StopRequest,
        emit: Callable[[str], None] = _print_line,
        clock: Callable[[], float] = time.perf_counter,
        **trainer_arguments: Any,
    ) -> None:
        super().__init__(train_dataset=schedule.steps, **trainer_arguments)
        self._loss, self._schedule, self._stop = loss, schedule, stop
        self._emit, self._clock = emit, clock
        self._step_started = 0.0
        self._step_tokens = 0
        self._seconds: list[float] = []
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> Any:
        """One item a step in planned order; a plain loader, since the plan already holds every epoch."""
        return torch.utils.data.DataLoader(
            self._schedule.steps,
            batch_sampler=[[index] for index in range(self._schedule.total)],
            collate_fn=itemgetter(0),
            generator=torch.Generator(),
        )

    def floating_point_ops(self, _: Any) -> int:
        """0: the steps are counted in tokens."""
        return 0

    def training_step(self, model: Any, inputs: dict[str, Any], _items: Any = None) -> Any:
        """Mean loss over the step's targets, its gradient left on the parameters."""
        self._step_started, self._step_tokens = self._clock(), inputs["tokens"]
        model.train()
        total = torch.zeros((), device=self.args.device)
        for batch in self._prepare_inputs(inputs)["passes"]:
            loss = self._loss.total(batch) / inputs["targets"]
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss over all trained tokens of the validation rows; empty where SIGTERM cut it short."""
        self.model.eval()
        losses = []
        for batch in self._schedule.validation:
            losses.append(self._loss.each(self._prepare_inputs(dict(batch))))
            if self._stop.requested:
                break
        metrics = {} if self._stop.requested else {"eval_loss": torch.cat(losses).double().mean().item()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        if "loss" in logs:
            _require_finite(logs["loss"], self.state.global_step)
            self._emit(format_metrics(self._position() | self._step_metrics(logs)))
        elif "eval_loss" in logs:
            self._emit(format_metrics(self._position() | {"eval_loss": logs["eval_loss"]}))

    def _position(self) -> dict[str, float]:
        step = self.state.global_step
        return {
            "step": step,
            "total_steps": self._schedule.total,
            "epoch": step / self._schedule.steps_per_epoch,
        }

    def _step_metrics(self, logs: Mapping[str, float]) -> dict[str, float]:
        seconds = self._clock() - self._step_started
        self._seconds.append(seconds)
        left = self._schedule.total - self.state.global_step
        return {
            "train_loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "gradient_norm": logs.get("grad_norm", 0.0),
            "tokens_per_second": self._step_tokens / max(seconds, 1e-9),
            "peak_memory_gib": peak_memory_gib(self.args.device),
            "eta_seconds": left * sum(self._seconds) / len(self._seconds),
        }


def _require_finite(loss: float, step: int) -> None:
    """Raises ConfigError: going on from such a step only makes a model that answers nonsense."""
    if not math.isfinite(loss):
        raise ConfigError(
            f"the loss of step {step} is {loss}: training has diverged; lower learning_rate",
            field="learning_rate",
        )


class EpochEnds(TrainerCallback):
    """Evaluates where an epoch ends, unless the run is being stopped."""

    def __init__(self, schedule: Schedule, stop: StopRequest) -> None:
        self._schedule, self._stop = schedule, stop

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        ends = (
            state.global_step % self._schedule.steps_per_epoch == 0
            or state.global_step == self._schedule.total
        )
        if ends and self._schedule.validation and not self._stop.requested:
            control.should_evaluate = True


class StopAfterStep(TrainerCallback):
    """From the first step on, SIGTERM waits for the end of the step and for a checkpoint."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._stop.defer()

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        if self._stop.requested:
            control.should_save = control.should_training_stop = True


class PublishCheckpoints(TrainerCallback):
    """Moves each checkpoint that Trainer has finished to its place."""

    def __init__(self, folder: Path, record: Mapping[str, str]) -> None:
        self._folder, self._record = folder, record

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if written.exists():
            resume.publish(written, self._folder, self._record)


def training_arguments(
    values: Mapping[str, Any], total_steps: int, writing: Path, device: torch.device
) -> TrainingArguments:
    """Trainer's settings; `writing` is where checkpoints are written before they get their name."""
    return TrainingArguments(
        output_dir=str(writing),
        max_steps=total_steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=values["learning_rate"],
        lr_scheduler_type=values["lr_scheduler_type"],
        warmup_steps=round(values["warmup_ratio"] * total_steps),
        weight_decay=values["weight_decay"],
        optim="adamw_torch_fused",
        seed=values["seed"],
        save_strategy="steps",
        save_steps=values["save_steps"],
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="no",
        disable_tqdm=True,
        report_to="none",
        use_cpu=device.type == "cpu",
        remove_unused_columns=False,
    )
