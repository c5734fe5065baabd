"""Encodings: which one a text file is in, told by its bytes, or the one line that asks for it."""

from __future__ import annotations

import codecs
from pathlib import Path

from charset_normalizer import CharsetMatch, from_bytes

from orchestrator import InvalidData

SAMPLE = 64 * 1024  #: bytes of lines with other letters than English ones, from which an encoding is told

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: What spreadsheets and databases write where it is not UTF-8, the most frequent first: that one is taken of
#: those that fit a short text alike. Among more of them, too many would fit.
LIKELY = (
    "cp1252", "cp1251", "cp932", "gb18030", "cp1250", "cp949", "big5", "cp1254", "cp1253", "cp1255", "cp1256",
    "euc_jp", "koi8_r", "cp866",
)  # fmt: skip


def decoded(content: bytes, file: Path, encoding: str = "auto") -> tuple[str, str | None]:
    """The text of a file, and its encoding if guessed; raises InvalidData where it cannot be told."""
    if encoding != "auto":
        return _decode(content, _known(encoding), file), None
    certain = _by_mark(content) or _by_zeros(content)
    if certain:
        return _decode(content, certain, file), None
    if is_utf8(content):
        return content.decode(), None
    _require_no_slip(content, file)
    guessed = _guess(content)
    return _decode(content, guessed, file), guessed


def is_utf8(content: bytes) -> bool:
    """Whether all of it is UTF-8, looked at in small pieces."""
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(content)
    try:
        for start in range(0, len(content), 1 << 20):
            decoder.decode(view[start : start + (1 << 20)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def is_binary(head: bytes) -> bool:
    """Whether a file that starts so holds no text in any encoding."""
    return b"\0" in head and not _by_mark(head) and not _by_zeros(head)


def _by_mark(content: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if content.startswith(mark)), None)


def _by_zeros(content: bytes) -> str | None:
    """UTF-16 without a mark: in a table, most characters are separators, digits and English letters."""
    head = content[: SAMPLE // 2 * 2]
    high, low = head[::2].count(0), head[1::2].count(0)
    if max(high, low) < 0.4 * (len(head) / 2) or min(high, low) > 0.05 * (len(head) / 2):
        return None
    return "utf-16-le" if low > high else "utf-16-be"


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise InvalidData(
            f"there is no encoding '{encoding}': use one that Python knows, such as utf-8, cp1252 (Western "
            "Europe), cp1251 (Cyrillic), shift_jis, gb18030"
        ) from error


def _decode(content: bytes, encoding: str, file: Path) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidData(
            f"{file} is not in the encoding {encoding} (line {line} has the byte "
            f"0x{content[error.start]:02x}): save it as UTF-8, or name its encoding with -p encoding=NAME"
        ) from error


def _guess(content: bytes) -> str:
    lines = [line for line in content.splitlines(keepends=True) if not line.isascii()]
    sample = b"".join(lines)[:SAMPLE]
    matches = list(from_bytes(sample, cp_isolation=list(LIKELY)))
    near = [match for match in matches if _is_near(match, matches[0])]
    fitting = {name for match in near for name in match.could_be_from_charset}
    return next((name for name in LIKELY if name in fitting), LIKELY[0])


def _is_near(match: CharsetMatch, best: CharsetMatch) -> bool:
    """Whether a short text does not tell the two apart."""
    return match.chaos <= best.chaos + 0.01 and match.coherence >= best.coherence - 0.25


def _require_no_slip(content: bytes, file: Path) -> None:
    """A few bytes that are no UTF-8 in a file that otherwise is: another encoding would garble the rest."""
    text = content.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    right = sum(1 for character in text if character > "\x7f") - wrong
    if right < 4 * wrong:
        return
    place = text.count("\n", 0, text.index("\ufffd")) + 1
    raise InvalidData(
        f"{file} is in UTF-8, except for {wrong} characters, the first of them in line {place}: mend these, "
        "or name the encoding of all of it with -p encoding=NAME"
    )
