"""How a stage is run: where, for how long, and what happens after an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypedDict, Unpack

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


class PolicyOptions(TypedDict, total=False):
    """The options of `@stage(…)` and `.options(…)`; what is left out, or None, stays as it is.

    `Policy` says what each means.
    """

    queue: str | None
    retry: Retry | None
    time_limit: float | None
    cache: bool | None
    version: str | None
    libraries: bool | None
    priority: int | None
    tolerate: float | None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Everything about a stage's execution that is not its code."""

    queue: str = "data"  #: the queue that its workers read
    retry: RetryRule | None = None  #: None: one try only
    time_limit: float | None = None  #: seconds for one attempt
    cache: bool = False  #: take an earlier run's result when code, parameters and inputs are the same
    version: str = ""  #: stands for the code, where given: the same version counts as the same code
    libraries: bool = False  #: the versions of the libraries that it imports count as code
    priority: int | None = None  #: 0 (first) to 9 (last) within its queue; None: 5
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

    def with_options(self, **options: Unpack[PolicyOptions]) -> Policy:
        """This policy with the given parts replaced."""
        if unknown := options.keys() - PolicyOptions.__annotations__.keys():
            known = ", ".join(PolicyOptions.__annotations__)
            raise TypeError(f"a stage has no option {min(unknown)!r}; its options are {known}")
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if retry := options.get("retry"):
            given["retry"] = retry.rule()
        return replace(self, **given)

    def to_json(self) -> dict[str, object]:
        """Only what differs from the default, to keep run specifications short."""
        plain: dict[str, object] = {"queue": self.queue}
        plain |= {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }
        if self.retry is not None:
            plain["retry"] = {**asdict(self.retry), "on": list(self.retry.on)}
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Policy:
        """The inverse of `to_json`."""
        given = dict(plain)
        retry = given.pop("retry", None)
        policy = cls(**given)  # type: ignore[arg-type]
        if not isinstance(retry, Mapping):
            return policy
        return replace(policy, retry=RetryRule(**{**retry, "on": tuple(retry["on"])}))
