# %% [markdown]
# # 101 · A first run, from rows to a REST answer
#
# Everything happens on this machine: the calls reach a local AWS that really trains and really serves.
# With `ift.connect()` instead of `ift.connect("local")` the same calls reach AWS.

# %%
from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

import ift_sagemaker as ift
import ift_sagemaker.local

HERE = Path(__file__).parent if "__file__" in globals() else Path("examples")
root = tempfile.TemporaryDirectory(prefix="ift-demo-")
if os.environ.setdefault("IFT_LOCAL_ROOT", root.name) == root.name:  # unless one is named already
    atexit.register(ift.local.reset)  # however this ends, nothing goes on running
SCORED = ("Classify sentiment", "Provide solution")
MODEL = "smollm2-135m-instruct"

# %% [markdown]
# ## The rows
# Three instructions of a customer-support desk, in Alpaca form. `check` names every flaw with its line.

# %%
train = ift.InstructionDataset.read(HERE / "data" / "customer_support.jsonl")
test = ift.InstructionDataset.read(HERE / "data" / "customer_support_test.jsonl")
print(train.check())

# %% [markdown]
# ## The plan
# What will be sent and asked, to the letter. Printing it writes nothing.

# %%
session = ift.connect("local")
session.weights.find(MODEL) or session.weights.pull(MODEL, print)
plan = session.plan(MODEL, train)
print(plan)

# %% [markdown]
# ## The training job

# %%
from ift_sagemaker.evaluation import Scores
from ift_sagemaker.report.progress import watching

job = session.fine_tune(MODEL, train)
with watching(job.name) as progress:
    job.wait(on_progress=progress)
print(f"{job.name}: {job.status} in {job.description['TrainingTimeInSeconds']} s")
print(f"what really ran: {job.executed}")

# %% [markdown]
# ## Base against tuned
# Greedy answers to held-out rows, by a job of its own.

# %%
with watching("evaluation") as progress:
    evaluation = session.evaluate(job, test, on_progress=progress)
print(evaluation)


def scored(scores: Scores) -> float:
    """Exact match over the two instructions that have canonical answers."""
    parts = [scores.by_instruction[name] for name in SCORED]
    return sum(part.exact_match * part.count for part in parts) / sum(part.count for part in parts)


before, after = scored(evaluation.base), scored(evaluation.tuned)
print(f"exact match on {' and '.join(SCORED)}: base {before:.2f}, tuned {after:.2f}, {after - before:+.2f}")

# %% [markdown]
# ## The endpoint
# On leaving the `with` block, what it made is deleted: endpoint, configuration and model.

# %%
with job.deploy() as endpoint:
    for row in list(test)[:6]:
        answer = endpoint.invoke(test.prompt(row))
        print(f"\n> {test.prompt(row)}\n  expected: {row['output']}\n  answered: {answer}")

# %% [markdown]
# ## Nothing is left
# No process, no port, no endpoint, model or configuration. The local AWS of this run goes with its folder.

# %%
from ift_sagemaker import local

left = local.status()
print({key: left[key] for key in ("processes", "ports", "endpoints", "models", "endpoint_configs")})
assert not any(left[key] for key in ("processes", "ports", "endpoints", "models", "endpoint_configs")), left
assert after - before >= 0.4, f"tuning raised exact match by {after - before:.2f} only"
