"""The codec of values whose annotation says no more than "JSON": `list`, `dict[str, Any]`, recursion."""

from __future__ import annotations

import math
from typing import Final, cast

from orchestrator.artifacts.codec import Codec, described
from orchestrator.artifacts.codecs.containers import at, each
from orchestrator.artifacts.codecs.scalars import NON_FINITE, float_word, unboxed
from orchestrator.artifacts.errors import WrongValue
from orchestrator.artifacts.tree import Json

#: `{"$float": "NaN"}`: nothing but this mark tells such a float from text, as there is no annotation to ask.
_FLOAT: Final = "$float"


class OpenJsonCodec(Codec):
    """JSON as it is: None, bool, int, float, str, list, dict with str keys. NumPy scalars are converted."""

    def __init__(self) -> None:
        super().__init__("a JSON value", plain=True)

    def to_json(self, value: object) -> Json:
        kind = type(value)
        if value is None or kind is str or kind is int or kind is bool:
            return cast("Json", value)
        if kind is list:
            return each(cast("list[object]", value), self.to_json)
        if kind is dict:
            return self._object(cast("dict[object, object]", value))
        plain = unboxed(value)
        if type(plain) is float:
            return plain if math.isfinite(plain) else {_FLOAT: float_word(plain)}
        if type(plain) in (int, bool, str):
            return cast("Json", plain)
        raise WrongValue(
            f"is {described(value)}, which is no JSON value (None, bool, int, float, str, list, dict)",
            hint="Annotate what it is (for example dict[str, tuple[int, ...]], or a dataclass).",
        )

    def from_json(self, value: Json) -> object:
        if isinstance(value, list):
            return [self.from_json(part) for part in value]
        if isinstance(value, dict):
            if value.keys() == {_FLOAT}:
                return NON_FINITE.get(str(value[_FLOAT]), math.nan)
            return {name: self.from_json(part) for name, part in value.items()}
        return value

    def fits(self, value: Json) -> bool:  # noqa: ARG002
        return True

    def _object(self, value: dict[object, object]) -> Json:
        if value.keys() == {_FLOAT}:
            raise WrongValue(f"is a dict whose only key is {_FLOAT!r}, which is reserved")
        parts: dict[str, Json] = {}
        for name, part in value.items():
            if not isinstance(name, str):
                raise WrongValue(
                    f"has the key {name!r}, which is {described(name)}; JSON's keys are str",
                    hint="Annotate what it is, for example dict[int, float].",
                )
            parts[str(name)] = at(name, self.to_json, part, "key")
        return parts
