"""What the weather does, and for how long: one table of numbers, the same for every process and every run.

The phenomena are AWS's; their lengths are compressed from minutes to a second or two, so that a test suite
can live under them. Where no page or thread tells a length, it is general knowledge:

- capacity: a training job stays Pending until there are instances (general knowledge)
- stale reads: "the response might not reflect the results of a recently completed write operation"
  https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
- stale lists: general knowledge
- deleting: "You might still see these resources in your account for a few minutes after deleting your
  endpoint" (service model, DeleteEndpoint); that a deleted model is still listed is general knowledge
- late log lines: CloudWatch shows events some seconds after they were sent (general knowledge)
- list throttling: two ListTrainingJobs a second, aws-solutions/deepracer-on-aws, thread 87
- empty pages: ListTrainingJobs cuts before it filters, FilterLogEvents may give no event and a token
  (service models of SageMaker and CloudWatch Logs, botocore 1.44.5; aws/aws-sdk, thread 486)
- expired tokens: autogluon/autogluon-cloud, thread 133; 15 minutes is the shortest life that STS gives
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ift_sagemaker.local.state.settings import LocalSettings


@dataclass(frozen=True)
class Weather:
    """One profile. Lengths are in seconds; a share is between 0 and 1.

    `capacity`: shortest and longest wait of a job or endpoint before anything of it starts. `stale_read`: how
    long a new model or endpoint configuration is not found. `stale_list`: how long a new resource is not
    listed, and a deleted one still is. `empty_pages`: share of listings that begin with an empty page.
    """

    seed: int = 0
    capacity: tuple[float, float] = (0.5, 1.5)
    stale_read: float = 0.7
    stale_list: float = 1.0
    deleting: float = 1.0
    late_log: float = 1.0
    list_calls_per_second: float = 2.0
    empty_pages: float = 0.5
    token_life: float = 900.0

    def waits_for_capacity(self, kind: str, name: str) -> float:
        """How long this job or endpoint waits for capacity; always the same for one name."""
        shortest, longest = self.capacity
        return shortest + (longest - shortest) * self._draw("capacity", kind, name)

    def begins_empty(self, operation: str, body: bytes) -> bool:
        """Whether the answer to this very request begins with an empty page."""
        return self._draw("empty", operation, body.decode("utf-8", "replace")) < self.empty_pages

    def _draw(self, *words: str) -> float:
        """A number from 0 to below 1, drawn by the seed and the words alone."""
        digest = hashlib.sha256("\0".join((str(self.seed), *words)).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def weather_of(settings: LocalSettings) -> Weather | None:
    """The weather that the settings ask for; None where it is calm."""
    return Weather() if settings.weather == "aws" else None


def capacity_delay(settings: LocalSettings, kind: str, name: str) -> float:
    """Seconds that a new job or endpoint waits for capacity; 0 where it is calm."""
    weather = weather_of(settings)
    return weather.waits_for_capacity(kind, name) if weather else 0.0


def deletion_delay(settings: LocalSettings) -> float:
    """Seconds that an endpoint stays Deleting after its program has ended; 0 where it is calm."""
    weather = weather_of(settings)
    return weather.deleting if weather else 0.0
