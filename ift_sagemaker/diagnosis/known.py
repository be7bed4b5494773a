"""Known failures, one row each: by which words they show, what they mean, what to type next, and who says so.

The first row that fits is the diagnosis, so what is particular stands before what is general. A row's words
are seen where its source shows them; what is marked general knowledge was not found in a thread or page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

JOB, ENDPOINT = "training job", "endpoint"
ANY = (JOB, ENDPOINT)
_OURS = "this library's own words"
_GENERAL = "general knowledge"


@dataclass(frozen=True)
class Known:
    """One failure. `pattern` is looked for in the reason, statuses with their messages, and the log's end.

    `kinds` are what it happens to; meaning and `next` (commands) may have `{name}`, `{instance_type}`,
    `{model}` and `{region}` in them. A `vague` row counts only where no other fits anywhere; a `passing` one
    tells of what has not ended.
    """

    failure: str
    pattern: str
    kinds: tuple[str, ...]
    meaning: str
    next: tuple[str, ...]
    source: str
    vague: bool = False
    passing: bool = False

    def matches(self, text: str) -> bool:
        return re.search(self.pattern, text, re.IGNORECASE) is not None


_RETRY = "ift train MODEL ROWS --retry"

ROWS: tuple[Known, ...] = (
    Known(
        "quota",
        r"ResourceLimitExceeded|account-level service limit",
        ANY,
        "The account may not run so many instances of this type; a new account has 0 of most GPU types. "
        "Asking again does not help: the limit must be raised, for training and endpoints each on its own.",
        (
            "ift doctor --instance-type {instance_type}",
            "aws service-quotas list-service-quotas --service-code sagemaker --region {region}",
            "ift plan MODEL ROWS --offers",
        ),
        "zenml-io/zenml, thread 847; aws/amazon-sagemaker-examples, thread 307",
    ),
    Known(
        "capacity",
        r"\bCapacityError\b|Unable to provision requested (ML )?compute capacity(?!: all)|"
        r"InsufficientInstanceCapacity|InsufficientCapacityError",
        ANY,
        "AWS had no {instance_type} to give in this region at that moment. Nothing is wrong with the run: "
        "the same one may start later, or on another type at once.",
        (f"{_RETRY} --alternative OTHER_TYPE", "ift plan MODEL ROWS --offers", _RETRY),
        "DIAGNijmegen/rse-grand-challenge, thread 2631; aws/deep-learning-containers, thread 6411",
    ),
    Known(
        "local endpoint slots",
        r"all \d+ endpoint slots are taken",
        (ENDPOINT,),
        "This machine runs as many endpoints at once as it is allowed to.",
        ("ift endpoints list --target local", "ift endpoints delete OTHER_ENDPOINT --target local"),
        _OURS,
    ),
    Known(
        "disk full",
        r"No space left on (the disk|device)|InsufficientStorage|disk is full|ENOSPC",
        ANY,
        "The disk ran full. On AWS the volume is too small for weights, rows and checkpoints together (types "
        "with local NVMe have a fixed size); here this machine's disk is.",
        ("ift local status", "df -h", "ift plan MODEL ROWS --offers"),
        "aws/sagemaker-python-sdk, thread 57 (image larger than the disk); " + _OURS,
    ),
    Known(
        "accelerator memory",
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|"
        r"std::bad_alloc: out_of_memory",
        ANY,
        "The accelerator's memory ran out: the model, its gradients and one batch do not fit "
        "{instance_type}.",
        (
            "ift train MODEL ROWS --set per_device_train_batch_size=1 --set max_input_length=512",
            "ift plan MODEL ROWS --offers",
        ),
        "aws/amazon-sagemaker-examples, thread 3782; rapidsai/deployment, thread 523",
    ),
    Known(
        "memory kill",
        r"exit code:? 137|probably out of memory|Killed process \d+|DefaultCPUAllocator: can't allocate|"
        r"\bMemoryError\b|\bOOMKilled\b",
        ANY,
        "The program was killed (SIGKILL), which in practice means that main memory ran out. On this machine "
        "also where IFT_LOCAL_MEMORY sets the limit.",
        (
            "ift train MODEL ROWS --set per_device_train_batch_size=1",
            "ift plan MODEL ROWS --offers",
            "ift local status",
        ),
        "docs.docker.com, exit status of `docker run` (128 + 9); " + _GENERAL,
    ),
    Known(
        "EULA not accepted",
        r"AcceptEula|end-user license agreement|accept_eula",
        ANY,
        "The model's licence must be accepted by whoever runs the job; an account can also be forbidden to "
        "(sagemaker:DirectGatedModelAccess).",
        ("ift models show {model}", "ift plan {model} ROWS --accept-eula"),
        "hashicorp/terraform-provider-aws, thread 34795; philschmid/easyllm, thread 41",
    ),
    Known(
        "gated weights denied",
        r"(AccessDenied|Forbidden).*(jumpstart|sagemaker-repository)|"
        r"(jumpstart|sagemaker-repository).*(AccessDenied|Forbidden)",
        ANY,
        "The weights of a gated model lie in AWS's own bucket, which gives them only to a job that accepts "
        "the licence; a policy of your own for that bucket does not help.",
        ("ift models show {model}", "ift plan {model} ROWS --accept-eula"),
        "aws/amazon-sagemaker-examples, thread 4384",
    ),
    Known(
        "role not assumable",
        r"unable to assume the role|Could not assume role|sts:AssumeRole on the role|trust relationship",
        ANY,
        "SageMaker may not take the execution role: it does not exist under this ARN (a role with a path has "
        "it in the ARN), or its trust policy does not name sagemaker.amazonaws.com.",
        ("ift doctor",),
        "aws/sagemaker-python-sdk, threads 35 and 43; astronomer/docs, thread 1695",
    ),
    Known(
        "image not pulled",
        r"Cannot pull algorithm container|does not grant ecr:|Access denied for repository|"
        r"manifest (for .* )?(unknown|not found)|Requested image not found|CannotPullContainer",
        ANY,
        "The container image does not exist in this region, the role may not pull it, or it does not fit the "
        "disk.",
        ("ift doctor", "ift jobs show {name}"),
        "aws/sagemaker-python-sdk, threads 57 and 1968; aws/deep-learning-containers, thread 5657; "
        "aws/sagemaker-spark-container, thread 158",
    ),
    Known(
        "KMS denied",
        r"KMS.*(AccessDenied|not authorized|disabled)|kms:(Decrypt|GenerateDataKey|CreateGrant)",
        ANY,
        "The role may not use the KMS key of the bucket, the volume or the output.",
        ("ift doctor --kms-key KEY_ARN",),
        _GENERAL,
    ),
    Known(
        "access denied",
        r"AccessDenied|Access Denied|is not authorized to perform|\b403\b.*Forbidden|Forbidden",
        ANY,
        "The execution role lacks a permission, mostly on the bucket; `ift doctor` prints the statement to "
        "add.",
        ("ift doctor",),
        "aws/amazon-sagemaker-examples, threads 1931 and 4384",
    ),
    Known(
        "input missing",
        r"matched no files on s3|No S3 objects found under|NoSuchKey|NoSuchBucket|S3 key: .* not found",
        ANY,
        "What the job was to read is not in S3 (any more), or lies in another region.",
        ("ift jobs show {name}", _RETRY),
        "aws/amazon-sagemaker-examples, threads 2489 and 2267",
    ),
    Known(
        "model data damaged",
        r"extract model data archive|archive is damaged|unexpected end of (data|file)|not a gzip file",
        (ENDPOINT,),
        "model.tar.gz is not whole or no gzip archive. The job's own model is checked by downloading it.",
        ("ift jobs download JOB FOLDER", "ift endpoints delete {name}"),
        _OURS,
    ),
    Known(
        "model data missing",
        r"Could not find model data|Failed to download model data",
        (ENDPOINT,),
        "The endpoint's model is not where it was when it was deployed, or the role may not read it.",
        ("ift doctor", "ift endpoints delete {name}"),
        "aws-ia/ecs-blueprints, thread 223",
    ),
    Known(
        "health check",
        r"did not pass the ping health check|health check",
        (ENDPOINT,),
        "The server did not answer /ping with 200 in time: it broke while it loaded the model (see its log), "
        "the model does not fit the instance, or loading took longer than the start-up timeout.",
        ("ift endpoints logs {name}", "ift endpoints delete {name}", "ift deploy JOB --instance-type LARGER"),
        "awslabs/llm-hosting-container, thread 18; aws/amazon-sagemaker-examples, thread 210",
    ),
    Known(
        "container not started",
        r"container could not be started|exec format error|executable file not found",
        ANY,
        "The container's program could not be started: not there, not executable, or for another processor.",
        ("ift jobs show {name}", "ift local status"),
        _OURS,
    ),
    Known(
        "rows wrong",
        r"DatasetError|have no `messages`|rows? .*(is|are) not JSON|JSONDecodeError|KeyError: 'instruction'|"
        r"channel '\w+' (has|holds) no|TemplateError",
        (JOB,),
        "The rows, or the template, are not what the program takes.",
        ("ift data check ROWS",),
        "aws/amazon-sagemaker-feedback, thread 98; " + _OURS,
    ),
    Known(
        "hyperparameter",
        r"hyperparameter|ConfigError",
        (JOB,),
        "A hyperparameter is unknown or outside its range.",
        ("ift models show {model}",),
        _OURS,
    ),
    Known(
        "loss not finite",
        r"loss is (nan|inf|not finite)|train_loss['\"]?[:=] ?(nan|inf)|gradient.*\b(nan|inf)\b",
        (JOB,),
        "The loss left all bounds: mostly too high a learning rate, or half precision where bfloat16 is "
        "needed.",
        ("ift train MODEL ROWS --set learning_rate=1e-5",),
        _GENERAL,
    ),
    Known(
        "spot interrupted",
        r"MaxWaitTimeExceeded|spot.*(reclaimed|interrupt)|\bInterrupted\b",
        (JOB,),
        "AWS took the spot instances back. The job goes on from its last checkpoint once there are others, "
        "and ends when MaxWaitTimeInSeconds is over.",
        ("ift jobs wait {name}", "ift train MODEL ROWS --retry   # without --spot"),
        "service model, SecondaryStatus; aws/sagemaker-python-sdk, thread 1040",
        passing=True,
    ),
    Known(
        "max runtime",
        r"MaxRuntimeExceeded|runtime exceeded MaxRuntimeInSeconds",
        (JOB,),
        "The job reached its longest run and was ended. What it had saved by then is there, unfinished.",
        (
            "ift train MODEL ROWS --retry --max-runtime SECONDS",
            "ift deploy {name} --allow-unfinished",
        ),
        "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html",
    ),
    Known(
        "waits for capacity",
        r"Insufficient capacity error from EC2|waiting for capacity",
        (JOB,),
        "The job waits for an instance; it is not billed meanwhile. AWS goes on looking until it finds one "
        "or gives up with a CapacityError.",
        ("ift jobs wait {name}", "ift jobs stop {name}", "ift plan MODEL ROWS --offers"),
        "service model, SecondaryStatusTransition",
        passing=True,
    ),
    Known(
        "stopped",
        r"^Stopped Stopped$",
        (JOB,),
        "Somebody asked it to stop. What it had saved by then is there, unfinished.",
        (_RETRY, "ift deploy {name} --allow-unfinished"),
        "service model, SecondaryStatus",
    ),
    Known(
        "supervisor died",
        r"supervisor of this .* died",
        ANY,
        "On this machine: the process that looked after it was killed (by hand, for want of memory, or with "
        "the machine), and what it ran was ended with it. Its checkpoints are kept.",
        ("ift local status", _RETRY),
        _OURS,
    ),
    Known(
        "isolation",
        r"Isolation cannot be given",
        ANY,
        "This machine cannot give the isolation that IFT_LOCAL_REQUIRE or IFT_LOCAL_RUNNER asks for.",
        ("ift doctor --target local",),
        _OURS,
    ),
    Known(
        "network isolated",
        r"Name or service not known|Temporary failure in name resolution|"
        r"Could not connect to the endpoint URL|"
        r"Network is unreachable|huggingface\.co.*(Connection|Max retries)",
        ANY,
        "The program wanted the network, which network isolation or a subnet without a route keeps from it.",
        ("ift jobs show {name}",),
        _GENERAL,
    ),
    Known(
        "package missing",
        r"ModuleNotFoundError|No module named|ImportError",
        ANY,
        "The image lacks a package that the program imports, or has another version of it.",
        ("ift jobs logs {name}",),
        _GENERAL,
    ),
    Known(
        "driver",
        r"CUDA driver version is insufficient|no kernel image is available|"
        r"forward compatibility was attempted",
        ANY,
        "The image needs a newer CUDA driver than the host has, or kernels for another accelerator.",
        ("ift plan MODEL ROWS --offers", "ift endpoints show {name}"),
        _GENERAL,
    ),
    Known(
        "throttled",
        r"ThrottlingException|Rate exceeded|TooManyRequests|SlowDown",
        ANY,
        "AWS was asked too often in a short time.",
        (_RETRY,),
        "aws/sagemaker-python-sdk, threads 645 and 2293",
    ),
    Known(
        "service fault",
        r"InternalServerError|InternalFailure|internal server error",
        ANY,
        "The service itself failed, not the program. The same run may go through.",
        (_RETRY,),
        "service model, RetryStrategy",
        vague=True,
    ),
    Known(
        "program failed",
        r"AlgorithmError|exit code:? \d+|Traceback \(most recent call last\)",
        ANY,
        "The program itself ended with an error; its last lines say which.",
        ("ift jobs logs {name}",),
        " "
        "https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html",
        vague=True,
    ),
)
