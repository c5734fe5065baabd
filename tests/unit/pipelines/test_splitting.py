"""How rows are divided: at random, by time, by group, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator import InvalidData
from orchestrator.authoring.errors import InvalidParameters
from pipelines.tabular.columns import dates_of, lay_out
from pipelines.tabular.naming import require_settings
from pipelines.tabular.splitting import Split, Splitting, choose_split
from workers.training import Division, Examples, divide, examples, folds_of, sample


def sales(rows: int = 200, **columns: Any) -> pd.DataFrame:
    """A row for each half day, in their order; `y` is an amount."""
    chance = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) // 2, unit="D")
    return pd.DataFrame(
        {"sold": days, "shop": chance.choice(list("abcdefgh"), rows), "y": chance.normal(size=rows)}
    ).assign(**columns)


def chosen(table: pd.DataFrame, split: Split = "auto", group: str | None = None, **given: Any) -> Splitting:
    layout = lay_out(table, "y", group=group)
    settings = {"folds": 5, "test_fraction": 0.25, **given}
    return choose_split(table, layout, dates_of(table, layout), split, group, **settings)


def test_the_latest_rows_are_held_back_where_rows_are_ordered_by_a_date() -> None:
    table = sales()
    splitting = chosen(table)
    assert splitting.by == "time"
    assert splitting.notes == (
        "Rows are ordered by 'sold': the latest are held back (-p split=random divides at random)",
    )
    backwards = table.iloc[::-1].reset_index(drop=True)
    for each in (table, backwards):
        whole = chosen(each).of(Examples(each[["sold"]], each["y"]))
        train, test = divide(whole, 0.25, seed=0, stratify=False, by="time")
        assert train.inputs["sold"].max() < test.inputs["sold"].min()
        assert len(test.target) == 50


def test_rows_of_one_time_are_not_divided() -> None:
    table = sales(rows=202)
    whole = chosen(table).of(Examples(table[["sold"]], table["y"]))
    train, test = divide(whole, 0.252, seed=0, stratify=False, by="time")
    assert not set(train.inputs["sold"]) & set(test.inputs["sold"])


@pytest.mark.parametrize(
    "disordered",
    [
        pytest.param(lambda table: table.sample(frac=1, random_state=0), id="shuffled"),
        pytest.param(lambda table: table.assign(sold=table["sold"].where(table.index != 7)), id="gap"),
        pytest.param(lambda table: table.drop(columns="sold"), id="no date"),
    ],
)
def test_other_rows_are_divided_at_random(disordered: Any) -> None:
    assert chosen(disordered(sales()).reset_index(drop=True)) == Splitting("random")


def test_what_is_asked_for_is_done() -> None:
    shuffled = sales().sample(frac=1, random_state=0).reset_index(drop=True)
    assert chosen(sales(), "random").by == "random"
    splitting = chosen(shuffled, "time")
    assert (splitting.by, splitting.notes) == ("time", ())
    whole = splitting.of(Examples(shuffled[["sold"]], shuffled["y"]))
    assert whole.inputs["sold"].is_monotonic_increasing


def test_a_group_is_held_back_as_a_whole_and_nothing_is_learnt_from_its_name() -> None:
    table = sales(shop=[f"shop {number % 20}" for number in range(200)])
    assert "shop" not in lay_out(table, "y", group="shop").kinds
    splitting = chosen(table, group="shop")
    assert splitting.notes == ("Rows with the same 'shop' (20 different) are held back together",)
    whole = splitting.of(Examples(table[["shop"]], table["y"]))
    train, test = divide(whole, 0.25, seed=0, stratify=False, by="group")
    assert set(train.inputs["shop"]) ^ set(test.inputs["shop"]) == set(table["shop"])
    for learnt, judged in folds_of(train, 5, seed=0, stratify=False, by="group"):
        assert not set(train.inputs["shop"].iloc[learnt]) & set(train.inputs["shop"].iloc[judged])


@pytest.mark.parametrize(
    ("table", "split", "group", "message"),
    [
        (sales().drop(columns="sold"), "time", None, "split=time: no column holds dates"),
        (sales(shop=["a", "b"] * 100), "auto", "shop", "2 different groups are too few for folds=5"),
        (
            sales(until=np.roll(sales()["sold"], 5)).sample(frac=1, random_state=1).reset_index(drop=True),
            "time",
            None,
            "'sold', 'until' hold dates, and rows are ordered by none",
        ),
        (
            sales().assign(sold=sales()["sold"].where(sales().index != 7)),
            "time",
            None,
            "1 rows have no date in 'sold'",
        ),
        (
            sales(y=["old"] * 160 + ["new"] * 40),
            "time",
            None,
            "class 'new' would be met in the rows held back only",
        ),
    ],
)
def test_what_cannot_be_divided_so_is_one_clear_line(
    table: pd.DataFrame, split: Split, group: str | None, message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        chosen(table, split, group)


def test_a_class_that_only_came_late_is_no_reason_to_stop_unless_time_was_asked_for() -> None:
    splitting = chosen(sales(y=["old"] * 160 + ["new"] * 40))
    assert splitting.by == "random"
    assert "'new' would be met in the rows held back only" in splitting.notes[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": "group"}, "split=group: which rows belong together"),
        ({"split": "time", "group": "shop"}, "split=time with group='shop': choose one"),
        ({"group": "y"}, "group='y': that is the target"),
    ],
)
def test_contradictions_are_refused_before_anything_runs(given: Any, message: str) -> None:
    with pytest.raises(InvalidParameters, match=message):
        require_settings("name", "y", folds=5, test_fraction=0.25, **given)


@pytest.mark.parametrize("by", ["random", "time", "group"])
def test_rows_stay_beside_their_targets(by: Division) -> None:
    table = pd.DataFrame({"x": np.arange(3000), "y": np.arange(3000) % 7})
    whole = examples(table, "y")
    whole = Examples(whole.inputs.set_axis(table["x"] // 10), whole.target.set_axis(table["x"] // 10))
    train, test = divide(whole, 0.25, seed=0, stratify=by == "random", by=by)
    few = sample(train, 500, seed=0, stratify=True)
    for each in (train, test, few):
        assert (each.inputs["x"] % 7 == each.target).all()
    assert len(few.target) == pytest.approx(500, abs=4)
    assert by != "time" or few.inputs["x"].is_monotonic_increasing


def test_folds_of_time_learn_from_earlier_rows_and_from_more_than_one_class() -> None:
    target = pd.Series(["a"] * 40 + ["a", "b"] * 40)
    whole = Examples(pd.DataFrame({"x": range(120)}), target)
    folds = list(folds_of(whole, 5, seed=0, stratify=True, by="time"))
    assert len(folds) == 3
    assert all(learnt.max() < judged.min() for learnt, judged in folds)


def test_a_sample_keeps_some_of_a_rare_class() -> None:
    whole = Examples(pd.DataFrame({"x": range(50_000)}), pd.Series(["rare"] * 25 + ["usual"] * 49_975))
    counts = sample(whole, 4_000, seed=0, stratify=True).target.value_counts()
    assert (counts["rare"], counts["usual"]) == (20, 3998)
