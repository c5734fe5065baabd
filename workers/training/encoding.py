"""Encoding: from a table of numbers and categories, with gaps, to the numbers that every model takes."""

from __future__ import annotations

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

#: Categories beyond this number, the rarest first, share one column.
MOST_CATEGORIES = 30


def encoder(inputs: pd.DataFrame) -> ColumnTransformer:
    """A transformer for such a table: fills gaps, scales numbers, spreads categories over columns.

    A gap in a number becomes the column's median, with a column beside it that says so; a gap in a category
    is a category of its own. Categories that were not there in fitting count as rare ones. All of it is made
    of scikit-learn's own parts, so that it can be stored without pickle.
    """
    numbers = inputs.select_dtypes("number").columns
    fill_numbers = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    fill_categories = SimpleImputer(strategy="constant", fill_value="(missing)")
    spread = OneHotEncoder(
        max_categories=MOST_CATEGORIES, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(fill_numbers, StandardScaler()), list(numbers)),
            ("categories", make_pipeline(fill_categories, spread), list(inputs.columns.drop(numbers))),
        ],
        verbose_feature_names_out=False,
    )
