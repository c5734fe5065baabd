"""Values of plain Python annotations: what goes in comes out, or is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
    cast,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl, JsonValue, RootModel, SecretStr
from typing_extensions import TypeAliasType

from orchestrator.artifacts import (
    MISSING,
    ArtifactError,
    ArtifactStore,
    NoSuchPart,
    UnsupportedType,
    WrongValue,
    decode,
    digest_of,
    encode,
    gather,
    inline,
    unsupported,
)

T = TypeVar("T")
UserId = NewType("UserId", int)
JSON = Union[  # noqa: UP007
    bool, int, float, str, list["JSON"], dict[str, "JSON"], None
]
Nested = TypeAliasType("Nested", Union[int, list["Nested"]])  # type: ignore[misc]  # noqa: UP007


class Colour(Enum):
    RED = auto()
    BLUE = (1, 2)


class Mode(StrEnum):
    TRAIN = "train"
    TEST = "test"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Access(Flag):
    READ = auto()
    WRITE = auto()


class Parts(NamedTuple):
    train: list[int]
    test: list[int]


class Options(TypedDict):
    depth: int
    name: NotRequired[str]


@dataclass(frozen=True)
class Candidate:
    depth: int
    score: float = 0.0
    note: str | None = None


@dataclass(frozen=True)
class Other:
    depth: int
    score: float = 0.0
    note: str | None = None


@dataclass
class Derived:
    base: int
    double: int = field(init=False)

    def __post_init__(self) -> None:
        self.double = self.base * 2


@dataclass
class Node:
    value: int
    children: list[Node] = field(default_factory=list)


@dataclass
class Box(Generic[T]):
    content: T
    others: list[T] = field(default_factory=list)


class Address(BaseModel):
    city: str
    url: HttpUrl | None = None


class Person(BaseModel):
    model_config = {"extra": "allow"}
    name: str = Field(alias="Name")
    age: int = Field(0, ge=0)
    weights: dict[str, float] = {}
    address: Address | None = None


class Scores(RootModel[dict[str, float]]):
    pass


class Login(BaseModel):
    password: SecretStr


class Unregistered:
    pass


def round_trip(value: object, hint: object, store: ArtifactStore) -> object:
    """Through a tree that was written as JSON and read again, as manifests are."""
    tree = encode(value, hint, store)
    return decode(json.loads(json.dumps(tree, allow_nan=False)), hint, store)


def same(one: object, other: object) -> bool:
    """Equal and of the same type, NaN and the sign of zero included."""
    if isinstance(one, float) and isinstance(other, float):
        return (
            math.isnan(one) == math.isnan(other)
            and (one == other or math.isnan(one))
            and str(one) == str(other)
        )
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


ZONES = st.sampled_from(
    [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu"), timezone(timedelta(minutes=-210))]
)
STRATEGIES: list[tuple[object, st.SearchStrategy[Any]]] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats()),
    (str, st.text()),
    (bytes, st.binary()),
    (date, st.dates()),
    (time, st.times()),
    (datetime, st.datetimes() | st.datetimes(timezones=ZONES, allow_imaginary=False)),
    (timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=False)),
    (UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Mode, st.sampled_from(Mode)),
    (Level, st.sampled_from(Level)),
    (Access, st.sampled_from([Access(0), Access.READ, Access.READ | Access.WRITE])),
    (Literal[1, True, "a", None, Mode.TRAIN], st.sampled_from([1, True, "a", None, Mode.TRAIN])),
    (UserId, st.integers()),
    (Annotated[int, Field(gt=0), []], st.integers()),
    (list[float], st.lists(st.floats())),
    (set[date], st.sets(st.dates())),
    (frozenset[tuple[int, str]], st.frozensets(st.tuples(st.integers(), st.text()))),
    (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    (tuple[int, str | None], st.tuples(st.integers(), st.none() | st.text())),
    (tuple[()], st.just(())),
    (dict[str, list[bytes]], st.dictionaries(st.text(), st.lists(st.binary()))),
    (dict[int, float], st.dictionaries(st.integers(), st.floats())),
    (dict[Mode, int], st.dictionaries(st.sampled_from(Mode), st.integers())),
    (int | float | str | bool | None, st.none() | st.booleans() | st.integers() | st.floats() | st.text()),
    (date | datetime | str, st.dates() | st.datetimes() | st.text()),
    (
        list[int] | list[str] | dict[str, int],
        st.lists(st.integers()) | st.lists(st.text()) | st.dictionaries(st.text(), st.integers()),
    ),
    (bytes | str, st.binary() | st.text()),
    (list[int | bytes], st.lists(st.integers() | st.binary())),
    (Candidate | Other | None, st.none() | st.builds(Candidate) | st.builds(Other)),
    (list[Candidate], st.lists(st.builds(Candidate))),
    (Parts, st.builds(Parts)),
    (Derived, st.builds(Derived, base=st.integers())),
    (Box[bytes], st.builds(Box, st.binary(), st.lists(st.binary()))),
    (Options, st.fixed_dictionaries({"depth": st.integers()}, optional={"name": st.text()})),
    (
        Node,
        st.recursive(
            st.builds(Node, st.integers()), lambda inner: st.builds(Node, st.integers(), st.lists(inner))
        ),
    ),
]
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(scope="module")
def memory() -> ArtifactStore:
    return ArtifactStore("memory://")


@pytest.mark.parametrize(("hint", "values"), STRATEGIES, ids=[str(hint) for hint, _ in STRATEGIES])
def test_any_value_of_an_annotation_comes_back_the_same(
    hint: object, values: st.SearchStrategy[Any], memory: ArtifactStore
) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(values)
    def check(value: object) -> None:
        assert same(round_trip(value, hint, memory), value)

    check()


@pytest.mark.parametrize(
    "hint", [JSON, JsonValue, dict[str, Any] | list[Any] | str | int | float | bool | None]
)
def test_any_json_comes_back_the_same(hint: object, memory: ArtifactStore) -> None:
    @settings(max_examples=60, deadline=None)
    @given(JSONS.filter(lambda value: "$float" not in str(value)))
    def check(value: object) -> None:
        assert same(round_trip(value, hint, memory), value)

    check()


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (list, [1, "a", None, {"b": [1.5]}]),
        (dict, {"a": [1, {"b": None}]}),
        (dict[str, object], {"a": math.inf}),
        (list[Any], [{"$type": "x"}]),
        (tuple, (1, "a")),
        (Nested, [1, [2, [3]]]),
        (Optional[list[dict[str, Any]]], [{"a": 1}]),  # noqa: UP045
        (Box[int] | Box[str], Box("a", ["b"])),
        (dict[str, int] | int, {"$type": 1, "value": 2}),
        (Sequence[int], [1, 2]),
        (Mapping[str, int], {"a": 1}),
    ],
)
def test_open_annotations_hold_json(hint: object, value: object, store: ArtifactStore) -> None:
    assert same(round_trip(value, hint, store), value)


def test_pydantic_models_come_back_validated(store: ArtifactStore) -> None:
    person = Person(
        Name="Ada", age=36, weights={"a": math.inf}, address=Address(city="Rome", url=HttpUrl("http://a.b/"))
    )
    assert round_trip(person, Person, store) == person
    assert round_trip(Scores({"a": 1.5}), Scores, store) == Scores({"a": 1.5})
    tree = encode(person, Person, store)
    tree["value"]["age"] = -1  # type: ignore[index, call-overload]
    with pytest.raises(WrongValue, match="as stored is no valid Person: age: "):
        decode(tree, Person, store)


def test_pydantic_fields_that_would_be_lost_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="Person does not name: surname"):
        encode(Person(Name="Ada", surname="L"), Person, store)
    assert "secret" in str(unsupported(Login))
    assert "secret" in str(unsupported(list[Login] | None))


# NumPy's scalars where Python's are annotated


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (np.float64(0.5), float, 0.5),
        (np.float32(0.5), float, 0.5),
        (np.int64(3), float, 3.0),
        (np.int64(3), int, 3),
        (np.uint8(3), int, 3),
        (np.bool_(True), bool, True),
        (np.str_("a"), str, "a"),
        (3, float, 3.0),
        ({"auc": np.float64(0.9)}, dict[str, float], {"auc": 0.9}),
        ({"n": np.int32(9), "x": np.float32(math.nan)}, dict[str, Any], {"n": 9, "x": math.nan}),
        (np.int64(3), int | str, 3),
        (np.float64(3), int | float, 3.0),
        (np.int64(1), Literal[1, 2], 1),
        (Level.LOW, int, 1),
        (Mode.TRAIN, str, "train"),
    ],
)
def test_a_scalar_of_numpy_or_of_a_subclass_becomes_the_annotated_one(
    value: object, hint: object, expected: object, store: ArtifactStore
) -> None:
    assert same(round_trip(value, hint, store), expected)


# Wrong values


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("a", int, "the value is str; annotated int"),
        (True, int, "the value is bool; annotated int"),
        (np.bool_(True), int, "the value is bool; annotated int"),
        (1.0, int, "the value is float; annotated int"),
        (True, float, "the value is bool; annotated float"),
        (1, str, "the value is int; annotated str"),
        (None, str, "the value is None; annotated str"),
        (10**400, float, "the value is an integer too large for float"),
        ([1, 2, 3, "a"], list[int], "item 3 is str; annotated int"),
        ((1, 2), list[int], "the value is tuple; annotated list[int]"),
        ((1, 2, 3), tuple[int, int], "the value has 3 items; annotated tuple[int, int]"),
        (
            {"a": {"b": [1, None]}},
            dict[str, dict[str, list[int]]],
            "key 'a', key 'b', item 1 is None; annotated int",
        ),
        ({1: 2}, dict[str, int], "key 1 is int; annotated str"),
        (Candidate(cast("int", "3")), Candidate, "field 'depth' is str; annotated int"),
        (
            [Candidate(1), Candidate(1, cast("float", None))],
            list[Candidate],
            "item 1, field 'score' is None; annotated float",
        ),
        (Candidate(cast("int", "3")), Candidate | None, "field 'depth' is str; annotated int"),
        (Other(1), Candidate, "the value is Other; annotated Candidate"),
        ([1], list[Candidate], "item 0 is int; annotated Candidate"),
        (b"", int | str, "the value is bytes; annotated int | str"),
        ({"depth": 1, "extra": 1}, Options, "the value has 'extra', which Options does not name"),
        ({}, Options, "the value lacks 'depth'; annotated Options"),
        (3, Literal["a", "b"], "the value is 3; annotated Literal['a', 'b']"),
        ("x", Colour, "the value is 'x'; annotated Colour"),
        (datetime(2020, 1, 1, tzinfo=UTC), date, "the value is datetime; annotated date"),
        ({"a": (1, 2)}, dict[str, Any], "key 'a' is tuple, which is no JSON value"),
        ([[Unregistered()]], list, "item 0, item 0 is Unregistered, which is no JSON value"),
        ({1: 2}, dict[str, JSON], "key 1 is int; annotated str"),
        ([{1: 2}], list, "item 0 has the key 1, which is int; JSON's keys are str"),
    ],
)
def test_a_value_that_is_not_what_the_annotation_says_is_named(
    value: object, hint: object, message: str, store: ArtifactStore
) -> None:
    with pytest.raises(WrongValue) as caught:
        encode(value, hint, store)
    assert str(caught.value).startswith(message)


def test_a_value_that_holds_itself_is_refused(store: ArtifactStore) -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(WrongValue, match="holds itself"):
        encode(value, list, store)


def test_a_stored_value_of_another_type_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="is str; annotated int"):
        decode(encode("a", str, store), int, store)
    with pytest.raises(WrongValue, match="is stored as 'bytes'; annotated int"):
        decode(encode(b"a", bytes, store), int, store)


@pytest.mark.parametrize(
    ("tree", "hint"),
    [
        (None, int),
        ({}, int),
        ({"codec": 3}, int),
        ({"codec": "json"}, int),
        ({"codec": "list"}, list[int]),
        ({"codec": "list", "parts": {"a": 1}}, list[int]),
        ({"codec": "object", "parts": [1]}, Candidate),
        ({"codec": "object", "parts": {"depth": 3}}, Candidate),
        ({"codec": "union"}, int | bytes),
        ({"codec": "union", "type": "os.system", "value": {"codec": "evil"}}, int | bytes),
        ({"codec": "bytes", "base64": "%"}, bytes),
        ({"codec": "json", "value": {"depth": 1, "__class__": "os.system"}}, Candidate),
    ],
)
def test_a_tree_that_was_tampered_with_is_one_clear_error(
    tree: Any, hint: object, store: ArtifactStore
) -> None:
    with pytest.raises(ArtifactError):
        decode(tree, hint, store)


# Annotations


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (Any, "without an annotation"),
        (object, "without an annotation"),
        (Unregistered, "Unregistered cannot be stored. Use a type that can"),
        (Unregistered, "register_codec(Unregistered, codec)"),
        (list[Unregistered], "in list[Unregistered]: Unregistered cannot be stored"),
        (Box[Unregistered], "field 'content' of Box[Unregistered]: Unregistered cannot be stored"),
        (dict[tuple[int, int], str], "its keys must be str, int"),
        (set[bytes], "a set's items must be simple values"),
        (T, "leaves open what it stands for"),
        (type[int], "cannot be stored"),
        (complex, "complex cannot be stored"),
    ],
)
def test_an_annotation_that_cannot_be_stored_says_why(
    hint: object, message: str, store: ArtifactStore
) -> None:
    assert message in str(unsupported(hint))
    with pytest.raises(UnsupportedType):
        encode(None, hint, store)


def test_an_annotation_that_can_be_stored_is_none() -> None:
    assert [hint for hint, _ in STRATEGIES if unsupported(hint) is not None] == []


@pytest.mark.skipif("sys.version_info < (3, 12)", reason="`type X = …` came with Python 3.12")
def test_type_statements_work_like_what_they_stand_for(store: ArtifactStore) -> None:
    scope: dict[str, Any] = {}
    exec("type Pair = tuple[int, str]", scope)  # noqa: S102
    assert round_trip((1, "a"), scope["Pair"], store) == (1, "a")


# Another annotation than the one it was stored by


@pytest.mark.parametrize(
    ("value", "stored_as", "read_as"),
    [
        (Candidate(1), Candidate, Candidate | None),
        (3, int, int | str),
        (b"a", bytes, bytes | None),
        (b"a", bytes | str, bytes),
        ([1, 2], list[int], list[int | bytes]),
        ([1, 2], list[int | bytes], list[int]),
        ([1, 2], list[int], Sequence[int]),
        (Node(1, [Node(2)]), Node, Node | Candidate | None),
    ],
)
def test_a_value_is_read_by_a_wider_annotation(
    value: object, stored_as: object, read_as: object, store: ArtifactStore
) -> None:
    assert decode(encode(value, stored_as, store), read_as, store) == value


# Trees


def test_small_json_is_inline_and_large_json_is_a_blob(store: ArtifactStore) -> None:
    small, large = encode([1] * 1000, list[int], store), encode([1] * 100_000, list[int], store)
    assert small == {"codec": "json", "value": [1] * 1000}
    assert large.keys() == {"codec", "digest", "size"}
    assert decode(large, list[int], store) == [1] * 100_000
    assert inline(large) is MISSING


@pytest.mark.parametrize("text", ["x" * 70_000, "\U0001f600" * 6_000, "\ud800"])
def test_long_and_odd_texts_come_back(text: str, store: ArtifactStore) -> None:
    assert round_trip(text, str, store) == text


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (None, None, None),
        (Candidate(3, 0.5), Candidate, {"depth": 3, "score": 0.5, "note": None}),
        (math.nan, float, "NaN"),
        ([1, b"a"], list[int | bytes], MISSING),
        (b"a", bytes, MISSING),
        (Node(1, [Node(2)]), Node, {"value": 1, "children": [{"value": 2, "children": []}]}),
    ],
)
def test_the_plain_value_of_a_tree_is_its_json(
    value: object, hint: object, expected: object, store: ArtifactStore
) -> None:
    assert inline(encode(value, hint, store)) == expected


def test_equal_values_have_equal_fingerprints(store: ArtifactStore) -> None:
    one, two = {"a": 1.0, "b": 2.0}, {"b": 2, "a": 1}
    assert digest_of(encode(one, dict[str, float], store)) == digest_of(encode(two, dict[str, float], store))
    assert digest_of(encode({"b", "a"}, set[str], store)) == digest_of(encode({"a", "b"}, set[str], store))
    assert digest_of(encode(1, int, store)) != digest_of(encode(1.0, float, store))


def test_gathered_trees_are_a_list(store: ArtifactStore) -> None:
    trees = [encode(Candidate(depth), Candidate, store) for depth in (1, 2)]
    assert decode(gather(trees), list[Candidate], store) == [Candidate(1), Candidate(2)]
    assert decode(gather(trees), list[Candidate], store, [1, "depth"]) == 2
    mixed = [encode(1, int, store), encode(b"a", bytes, store)]
    assert decode(gather(mixed), list[int | bytes], store) == [1, b"a"]


# Parts


@pytest.mark.parametrize(
    ("value", "hint", "path", "expected"),
    [
        (Candidate(3), Candidate, ["depth"], 3),
        (Parts([1, 2], [3]), Parts, ["test", 0], 3),
        (Parts([1, 2], [3]), Parts, [0, 1], 2),
        ({"a": (1, b"x")}, dict[str, tuple[int, bytes]], ["a", 1], b"x"),
        ({3: "x"}, dict[int, str], [3], "x"),
        (Candidate(3), Candidate | Other | None, ["depth"], 3),
        (Node(1, [Node(2)]), Node, ["children", 0, "value"], 2),
        ({"a": [1, 2]}, dict[str, list[int]], [], {"a": [1, 2]}),
    ],
)
def test_a_path_picks_a_part(
    value: object, hint: object, path: list[str | int], expected: object, store: ArtifactStore
) -> None:
    assert decode(encode(value, hint, store), hint, store, path) == expected


def test_a_path_does_not_load_the_rest(store: ArtifactStore) -> None:
    tree = encode((b"a" * 100_000, b"b"), tuple[bytes, bytes], store)
    tree["parts"][0]["digest"] = "sha256:" + "0" * 64  # type: ignore[index, call-overload]
    assert decode(tree, tuple[bytes, bytes], store, [1]) == b"b"


@pytest.mark.parametrize(
    ("value", "hint", "path"),
    [
        (Candidate(3), Candidate, ["nothing"]),
        (Candidate(3), Candidate, [0]),
        ([1], list[int], [1]),
        ([1], list[int], [-1]),
        ([1], list[int], ["0"]),
        (3, int, ["real"]),
        (None, Candidate | None, ["depth"]),
        ({"a": 1}, dict[str, int], [0]),
    ],
)
def test_a_path_to_nothing_is_refused(
    value: object, hint: object, path: list[str | int], store: ArtifactStore
) -> None:
    with pytest.raises(NoSuchPart):
        decode(encode(value, hint, store), hint, store, path)
