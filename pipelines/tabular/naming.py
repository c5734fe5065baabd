"""A model's name, and the settings that can be judged before a run starts."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

from orchestrator.authoring.errors import InvalidParameters

LONGEST = 200  #: characters of a model's name; MLflow's databases keep 256
BESIDE_LETTERS = "-_."  #: what a model's name may hold beside letters and digits


def model_name(data: Path, target: str) -> str:
    """The name a table's model is registered under: `houses-price` for the column `price` of `houses.csv`.

    Letters of all scripts stay. Two columns of a file have different names: where one loses a character, the
    name ends with a few digits that stand for the whole of it.
    """
    stem, column = (unicodedata.normalize("NFC", text) for text in (data.stem.lower(), target))
    name = "-".join(filter(None, (_plain(stem), _plain(column))))
    if _plain(column) == column and len(name) <= LONGEST:
        return name
    digits = hashlib.sha256(column.encode()).hexdigest()[:6]
    return "-".join(filter(None, (name[: LONGEST - 7].rstrip("-") or "model", digits)))


def require_settings(
    name: str, target: str, *, folds: int, test_fraction: float, split: str = "auto", group: str | None = None
) -> None:
    """Raise InvalidParameters for what no table could be trained and registered with."""
    mistakes = []
    if not is_model_name(name):
        mistakes.append(
            f"model={name!r}: a model's name has up to {LONGEST} letters, digits, blanks, '-', '_' and '.', "
            "and begins with a letter or digit"
        )
    if folds < 2:
        mistakes.append(f"folds={folds}: at least 2 are needed, to learn from some and be judged on another")
    if not 0 < test_fraction < 1:
        mistakes.append(f"test_fraction={test_fraction}: it is a share of the rows, between 0 and 1")
    if group is None and split == "group":
        mistakes.append("split=group: which rows belong together? -p group=COLUMN names the column")
    if group is not None and split not in ("auto", "group"):
        mistakes.append(f"split={split} with group='{group}': choose one of them")
    if group == target:
        mistakes.append(f"group='{group}': that is the target")
    if mistakes:
        raise InvalidParameters("pipeline 'tabular': " + "; ".join(mistakes))


def is_model_name(name: str) -> bool:
    """Whether MLflow's registry takes it, and its URIs and filters can hold it."""
    fits = 0 < len(name) <= LONGEST and name[0].isalnum() and name == name.strip()
    return fits and all(each == " " or _is_allowed(each) for each in name)


def _is_allowed(character: str) -> bool:
    is_letter = character.isalnum() or unicodedata.category(character).startswith("M")
    return is_letter or character in BESIDE_LETTERS


def _plain(text: str) -> str:
    """The text with a hyphen for each run of characters that a name cannot hold."""
    spaced = "".join(character if _is_allowed(character) else " " for character in text)
    return "-".join(spaced.split()).strip(BESIDE_LETTERS)
