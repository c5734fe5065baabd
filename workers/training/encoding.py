"""Encoding: convert a table of numbers and categories, with missing values, to a model's numeric input."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

#: Maximum number of columns per categorical column; the rarest categories share one.
MOST_CATEGORIES = 30


def with_encoder(model: BaseEstimator, inputs: pd.DataFrame) -> Pipeline:
    """Return a pipeline of the encoder that suits the model, and the model.

    It consists of scikit-learn's own classes, so that it can be stored without pickle.
    """
    if isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        categories = list(range(len(_numbers(inputs)), len(inputs.columns)))
        model.set_params(categorical_features=categories or None)
        return make_pipeline(_numbering(inputs, model.max_bins - 1), model)
    return make_pipeline(_spreading(inputs), model)


def _spreading(inputs: pd.DataFrame) -> ColumnTransformer:
    """Impute missing values, scale numbers, one-hot encode categories.

    A missing number becomes the column's median, with an indicator column; a missing category is a category
    of its own. Categories not seen in fitting count as infrequent ones.
    """
    fill_numbers = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    fill_categories = SimpleImputer(strategy="constant", fill_value="(missing)")
    spread = OneHotEncoder(
        max_categories=MOST_CATEGORIES, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    return _by_kind(
        inputs, make_pipeline(fill_numbers, StandardScaler()), make_pipeline(fill_categories, spread)
    )


def _numbering(inputs: pd.DataFrame, most: int) -> ColumnTransformer:
    """Pass numbers through, with missing values, and encode categories as ordinals; unknown ones as missing.

    If a column has more than `most` categories, the rarest share an ordinal.
    """
    number = OrdinalEncoder(max_categories=most, handle_unknown="use_encoded_value", unknown_value=np.nan)
    return _by_kind(inputs, "passthrough", number)


def _by_kind(
    inputs: pd.DataFrame, for_numbers: BaseEstimator | str, for_categories: BaseEstimator
) -> ColumnTransformer:
    numbers = _numbers(inputs)
    return ColumnTransformer(
        [
            ("numbers", for_numbers, list(numbers)),
            ("categories", for_categories, list(inputs.columns.drop(numbers))),
        ],
        verbose_feature_names_out=False,
    )


def _numbers(inputs: pd.DataFrame) -> pd.Index:
    return inputs.select_dtypes("number").columns
