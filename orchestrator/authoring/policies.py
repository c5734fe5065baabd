"""How a stage is run: where, for how long, and what happens after an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.authoring.errors import InvalidPolicy, is_bad_input


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a stage is tried again after an error.

    With `times=4, backoff=2.0` the waits are 2, 4, 8 and 16 s, each shortened at random by up to half
    (jitter), so that many items which failed together do not come back together.
    """

    on: tuple[type[Exception], ...] = (Exception,)  #: only these exceptions, and what derives from them
    times: int = 3  #: further tries after the first
    backoff: float = 1.0  #: the first wait, in seconds; it doubles each time
    cap: float = 600.0  #: the longest wait, in seconds

    def __post_init__(self) -> None:
        if not self.on or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in self.on):
            raise InvalidPolicy("Retry(on=…) takes a tuple of exception classes, such as (OSError,)")
        if self.times < 1:
            raise InvalidPolicy(f"Retry(times={self.times}): at least 1; leave retry out for a single try")
        if self.backoff < 0 or self.cap < 0:
            raise InvalidPolicy("Retry: backoff and cap are seconds, not below 0")

    def rule(self) -> RetryRule:
        """The same policy as plain data, its exceptions by name."""
        names = tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in self.on)
        return RetryRule(on=names, times=self.times, backoff=self.backoff, cap=self.cap)


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """A `Retry` as it travels: exceptions by qualified name, so that no message names a class to import."""

    on: tuple[str, ...]
    times: int
    backoff: float
    cap: float

    def covers(self, error: BaseException) -> bool:
        """Whether `error` is of a kind that is retried."""
        kinds = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
        return any(kind in self.on for kind in kinds)

    def wait(self, tries: int, chance: float) -> float:
        """Seconds before the next try, after `tries` tries; `chance` in [0, 1) places the jitter."""
        longest = min(self.cap, self.backoff * 2.0 ** (tries - 1))
        return longest * (1.0 - chance / 2.0)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Everything about a stage's execution that is not its code."""

    queue: str = "data"  #: the queue that its workers read
    retry: RetryRule | None = None  #: None: one try only
    time_limit: float | None = None  #: seconds for one attempt
    cache: bool = False  #: take an earlier run's result when code, parameters and inputs are the same
    version: str = ""  #: stands for the code, where given: the same version counts as the same code
    libraries: bool = False  #: the versions of the libraries that it imports count as code
    priority: int | None = None  #: 0 (first) to 9 (last) within its queue
    tolerate: float = 0.0  #: the share of a map's items that may fail; their results are left out

    def __post_init__(self) -> None:
        if self.time_limit is not None and self.time_limit <= 0:
            raise InvalidPolicy(f"time_limit={self.time_limit}: seconds, above 0")
        if self.priority is not None and not 0 <= self.priority <= 9:
            raise InvalidPolicy(f"priority={self.priority}: from 0 (first) to 9 (last)")
        if not 0 <= self.tolerate <= 1:
            raise InvalidPolicy(f"tolerate={self.tolerate}: a share, from 0 (none may fail) to 1 (all may)")

    def grants_another(self, error: BaseException, tries: int) -> bool:
        """Whether there is another attempt after `tries` of them, the last of which ended with `error`."""
        retry = self.retry
        return retry is not None and tries <= retry.times and retry.covers(error) and not is_bad_input(error)

    def tolerates(self, failures: int, items: int) -> bool:
        """Whether a map of so many items may have so many failures."""
        return failures <= items * self.tolerate + 1e-9  # 100 * 0.29 is 28.999…

    def refined(
        self,
        *,
        queue: str | None = None,
        retry: Retry | None = None,
        time_limit: float | None = None,
        cache: bool | None = None,
        version: str | None = None,
        libraries: bool | None = None,
        priority: int | None = None,
        tolerate: float | None = None,
    ) -> Policy:
        """This policy with the given parts replaced; what is left out stays as it is."""
        return Policy(
            queue=self.queue if queue is None else queue,
            retry=self.retry if retry is None else retry.rule(),
            time_limit=self.time_limit if time_limit is None else time_limit,
            cache=self.cache if cache is None else cache,
            version=self.version if version is None else version,
            libraries=self.libraries if libraries is None else libraries,
            priority=self.priority if priority is None else priority,
            tolerate=self.tolerate if tolerate is None else tolerate,
        )

    def to_json(self) -> dict[str, object]:
        """Only what differs from the default, to keep run specifications short."""
        plain: dict[str, object] = {"queue": self.queue}
        if self.retry is not None:
            plain["retry"] = {
                "on": list(self.retry.on),
                "times": self.retry.times,
                "backoff": self.retry.backoff,
                "cap": self.retry.cap,
            }
        if self.time_limit is not None:
            plain["time_limit"] = self.time_limit
        if self.cache:
            plain["cache"] = True
        if self.version:
            plain["version"] = self.version
        if self.libraries:
            plain["libraries"] = True
        if self.priority is not None:
            plain["priority"] = self.priority
        if self.tolerate:
            plain["tolerate"] = self.tolerate
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Policy:
        """The inverse of `to_json`."""
        fields = dict(plain)
        retry = fields.pop("retry", None)
        policy = cls(**fields)  # type: ignore[arg-type]
        if not isinstance(retry, Mapping):
            return policy
        return replace(policy, retry=RetryRule(**{**retry, "on": tuple(retry["on"])}))
