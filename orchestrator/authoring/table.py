"""`Table["price", "day"]`: the annotation of a parameter for which only these columns of a table are read."""

from __future__ import annotations

import types
from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, TypeGuard, Union, cast, get_args, get_origin

from orchestrator.authoring.errors import InvalidDefinition, MissingColumn


class _Named(type):
    """The type of `Table`, so that type checkers see that it takes names in brackets."""

    columns: tuple[str, ...]

    def __getitem__(cls, names: str | tuple[str, ...]) -> type[Table]:
        columns = names if isinstance(names, tuple) else (names,)
        if cls.columns or not columns or not all(isinstance(name, str) for name in columns):
            raise InvalidDefinition(
                f"{cls.__name__}[{', '.join(map(repr, columns))}] names no columns",
                hint='Write the names of columns, as text: Table["price", "day"].',
            )
        if len(set(columns)) < len(columns):
            raise InvalidDefinition(f"Table[{', '.join(map(repr, columns))}] names a column twice")
        return _table_of(columns)


class Table(metaclass=_Named):
    """Some columns of a stored `pandas.DataFrame`, by name: `def mean(sales: Table["price", "day"])`.

    The stage gets a DataFrame of just those columns, in that order, with the table's index; nothing else is
    read from the store. A column that is not there fails the stage with `MissingColumn`. As what a
    stage returns, it keeps only those columns of the DataFrame.

    In an annotation, type checkers take text for the name of a type. Where one is used, write
    `sales: Annotated[pd.DataFrame, Table["price", "day"]]`: it means the same here, and a DataFrame to them.
    """

    columns = ()


@cache
def _table_of(columns: tuple[str, ...]) -> type[Table]:
    name = f"Table[{', '.join(map(repr, columns))}]"
    return type(name, (Table,), {"columns": columns, "__module__": __name__})


def is_table(hint: object) -> TypeGuard[type[Table]]:
    """Whether an annotation is a `Table[…]`; `Table` alone names no columns, and is none."""
    return isinstance(hint, type) and issubclass(hint, Table) and bool(hint.columns)


def names_columns(hint: object) -> bool:
    """Whether there is a `Table[…]` in an annotation."""
    return is_table(hint) or any(map(names_columns, get_args(hint)))


def narrowed(value: object, hint: object) -> object:
    """A value in memory as a parameter annotated `hint` gets it: of tables, the columns that it names."""
    if is_table(hint):
        return selected(value, hint.columns)
    if value is None or not names_columns(hint):
        return value
    inner = next(filter(names_columns, get_args(hint)))  # of a list or a mapping, or of `Table[…] | None`
    if isinstance(value, list):
        return [narrowed(each, inner) for each in value]
    if isinstance(value, dict):
        return {key: narrowed(each, inner) for key, each in value.items()}
    return narrowed(value, inner)


def without_annotated(hint: object, plain: object) -> object:
    """An annotation with `Table[…]` in place of `Annotated[…, Table[…]]`; `plain` has no `Annotated`."""
    if get_origin(hint) is Annotated:
        return next(filter(is_table, get_args(hint)[1:]), plain)
    arguments, others = get_args(hint), get_args(plain)
    if len(arguments) != len(others):
        return plain
    inner = tuple(without_annotated(one, other) for one, other in zip(arguments, others, strict=True))
    if inner == others:
        return plain
    return reduce(or_, inner) if is_union(plain) else cast("Any", get_origin(plain))[inner]


def is_union(hint: object) -> bool:
    """Whether an annotation is `A | B`, written either way."""
    return get_origin(hint) in (Union, types.UnionType)


def selected(frame: object, columns: Sequence[str]) -> object:
    """The DataFrame of these columns only. Raises MissingColumn."""
    table = cast("Any", frame)  # a DataFrame, in a package that knows no pandas
    check_columns(columns, list(table.columns))
    return table[list(columns)]


def check_columns(wanted: Sequence[str], there: Sequence[object]) -> None:
    """Raise MissingColumn for the first column that is wanted and not there."""
    for name in wanted:
        if name not in there:
            raise MissingColumn.of(name, there)
