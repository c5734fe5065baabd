"""CSV files: from text with separators to columns of text, each value as it is written in the file.

Nothing is taken for a number, a date or a gap here: what a column holds is decided over all of it, later.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from orchestrator import InvalidData
from pipelines.tabular.encodings import decoded, is_utf8

SEPARATORS = ",;\t|"
LOOKED_AT = 50  #: lines from which the separator is told
HEAD = 256 * 1024  #: characters in which those lines are looked for
BLOCK = 32 * 1024 * 1024  #: bytes; no row may be longer


class Delimited(NamedTuple):
    """A CSV file's columns, and what had to be assumed or left out to read it."""

    columns: pa.Table
    notes: list[str]


class Form(NamedTuple):
    """How a CSV file is written."""

    separator: str
    skipped: int  #: lines before the header
    width: int  #: values in the header
    trailing: bool  #: each row ends with a separator, the header does not


def read_delimited(file: Path, encoding: str = "auto") -> Delimited:
    """The columns of a CSV file, by their names; raises InvalidData, with one line, for what is no table."""
    content = file.read_bytes()
    notes = []
    if encoding != "auto" or not is_utf8(content) or b"\0" in content[:HEAD]:
        text, guessed = decoded(content, file, encoding)
        content = text.encode()
        if guessed:
            notes.append(
                f"The file is not in UTF-8, and was read as {guessed}; if letters are wrong, name its "
                "encoding with -p encoding=NAME"
            )
    content = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\x1a")
    form = _form(content[:HEAD].decode(errors="ignore"), file)
    if form.skipped:
        notes.append(f"Lines before the header that were skipped: {form.skipped}")
    if f'{form.separator} "'.encode() in content:
        content = _without_blanks_before_quotes(content, form, file)
    rows = _rows(content, form, file)
    return _named(rows, form, file, notes)


def _form(head: str, file: Path) -> Form:
    lines = head.splitlines()
    skipped = 0
    told = re.fullmatch(r"sep=(.)", lines[0].strip()) if lines else None
    if told:  # a line for Excel
        skipped = 1
    separator = told[1] if told else _separator(_without_comments(head))
    skipped += _comments(lines[skipped:], separator)
    records = [row for row in _records("\n".join(lines[skipped:]), separator) if row]
    if not records:
        raise InvalidData(f"{file} is empty: export it again with its data")
    header, rows = records[0], records[1:]
    trailing = bool(rows) and all(len(row) == len(header) + 1 and not row[-1].strip() for row in rows)
    return Form(separator, skipped, len(header), trailing)


def _separator(text: str) -> str:
    """The character that divides most lines into as many values as the header; a comma where none does."""

    def merit(separator: str) -> tuple[int, int]:
        records = [len(row) for row in _records(text, separator) if row]
        width = records[0] if records else 1
        return (0, 0) if width < 2 else (records.count(width), width)

    return max(SEPARATORS, key=merit)


def _without_comments(head: str) -> str:
    kept = [line for line in head.splitlines() if not line.startswith("#")]
    return "\n".join(kept) if len(kept) > 1 else head


def _comments(lines: list[str], separator: str) -> int:
    """How many lines at the start are comments: with a `#`, and not as wide as the table (`#id,name` is)."""
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    width = len(next(_records(first, separator), []))
    count = 0
    for line in lines:
        if line.strip() and not (line.startswith("#") and len(next(_records(line, separator), [])) != width):
            break
        count += 1
    return count


def _records(text: str, separator: str) -> Iterator[list[str]]:
    try:
        yield from islice(
            csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True), LOOKED_AT
        )
    except csv.Error:  # not with this separator
        return


def _without_blanks_before_quotes(content: bytes, form: Form, file: Path) -> bytes:
    """The same table, where `a, "b, c"` has no blank that would make the quotes part of the value."""
    lines = io.StringIO(content.decode(), newline="")
    written = io.StringIO()
    try:
        rows = csv.reader(lines, delimiter=form.separator, skipinitialspace=True)
        csv.writer(written, delimiter=form.separator, lineterminator="\n").writerows(rows)
    except csv.Error as error:
        raise _no_table(file, str(error)) from error
    return written.getvalue().encode()


def _rows(content: bytes, form: Form, file: Path) -> pa.Table:
    """All records of the file, the header's among them, as columns of text."""
    width = form.width + form.trailing
    if form.trailing:  # the header gets the separator that it lacks
        start = _start_of_line(content, form.skipped)
        lead, rest = content[:start], content[start:].lstrip(b"\r\n")
        header, end, rows = rest.partition(b"\n")
        content = lead + header.rstrip(b"\r") + form.separator.encode() + end + rows
    wrong: list[arrow_csv.InvalidRow] = []

    def keep(row: arrow_csv.InvalidRow) -> str:
        if row.text.strip():
            wrong.append(row)
        return "skip"  # a line of blanks is skipped; the others stop the run below

    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(
                autogenerate_column_names=True, skip_rows=form.skipped, block_size=BLOCK, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=form.separator, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={f"f{place}": pa.string() for place in range(width)}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _no_table(file, str(error).partition("\n")[0]) from error
    if wrong:
        raise _ragged(file, wrong[0], form)
    _require_closed_quotes(content, table, form, file)
    return table


def _start_of_line(content: bytes, skipped: int) -> int:
    start = 0
    for _ in range(skipped):
        start = content.index(b"\n", start) + 1
    return start


def _ragged(file: Path, row: arrow_csv.InvalidRow, form: Form) -> InvalidData:
    place = f"row {row.number + form.skipped}" if row.number is not None else "a row"
    shown = row.text if len(row.text) <= 60 else f"{row.text[:59]}…"
    if row.actual_columns > row.expected_columns:
        return InvalidData(
            f"{file} is not a table: {place} has {row.actual_columns} values, more values than its header "
            f"has names ({row.expected_columns}): {shown!r}. Name every column, and quote values with a "
            f"{form.separator!r} in them"
        )
    return InvalidData(
        f"{file} is not a table: {place} has {row.actual_columns} values, and its header "
        f"{row.expected_columns} names: {shown!r}. Give each row as many values, be they empty"
    )


def _require_closed_quotes(content: bytes, table: pa.Table, form: Form, file: Path) -> None:
    """A quote that is never closed makes one value of all that follows, and rows would be lost in it."""
    if b'"' not in content or content.count(b"\n") <= table.num_rows + form.skipped:
        return
    if not any(pc.any(pc.match_substring(column, "\n")).as_py() for column in table.itercolumns()):
        return
    lines = io.StringIO(content.decode(), newline="")
    reader = csv.reader(lines, delimiter=form.separator, strict=True, skipinitialspace=True)
    try:
        deque(reader, maxlen=0)
    except csv.Error as error:
        raise _no_table(file, f"line {reader.line_num}: a quote is not closed, or not doubled") from error


def _named(rows: pa.Table, form: Form, file: Path, notes: list[str]) -> Delimited:
    """The columns under the names of the first record."""
    trimmed = [pc.utf8_trim_whitespace(column) for column in rows.itercolumns()]
    names, columns = [], []
    for place, column in enumerate(trimmed, start=1):
        name, values = column[0].as_py(), column.slice(1)
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        if not name and values.null_count == len(values):
            if place < len(trimmed) or not form.trailing:
                notes.append(f"Column {place} has neither a name nor values, and was left out")
            continue
        if not name:
            name = f"column {place}"
            notes.append(f"Column {place} has no name, and is called '{name}'")
        names.append(name)
        columns.append(values)
    require_different(names, file)
    return Delimited(pa.table(columns, names=names), notes)


def require_different(names: list[str], file: Path) -> None:
    """Raise InvalidData if a name stands twice in the header: a copy of the target would predict it."""
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise InvalidData(f"{file} has more than one column '{twice}': give each its own name")


def _no_table(file: Path, reason: str) -> InvalidData:
    reason = reason.removeprefix("CSV parse error: ").rstrip(".: ")
    return InvalidData(
        f"{file} is not a table ({reason}): give a CSV file with a header and as many values in each row, "
        "or a Parquet file"
    )
