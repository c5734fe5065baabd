"""Estimators: skops files that only hold trusted types."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from orchestrator.artifacts import ArtifactStore, StoreError, UntrustedTypes, WrongValue, decode, encode
from orchestrator.settings import settings

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 0, 0, 1, 1, 1])


class Mine(BaseEstimator):
    def fit(self, *_: object) -> Mine:
        self.seen_ = True
        return self


MINE = f"{Mine.__module__}.Mine"


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_types(names: str) -> None:
        monkeypatch.setenv("ORCHESTRATOR_TRUSTED_TYPES", names)
        settings.cache_clear()

    set_types("")
    return set_types


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    yield
    settings.cache_clear()


@pytest.mark.parametrize("hint", [BaseEstimator, Pipeline, make_pipeline(StandardScaler()).__class__])
def test_a_fitted_estimator_comes_back_and_predicts_the_same(hint: object, store: ArtifactStore) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    back: Any = decode(encode(model, hint, store), hint, store)
    assert type(back) is Pipeline
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))


def test_an_estimator_is_stored_under_its_mixin_too(store: ArtifactStore) -> None:
    back = decode(encode(LogisticRegression(), ClassifierMixin, store), ClassifierMixin, store)
    assert isinstance(back, LogisticRegression)


def test_another_class_is_refused_on_both_ways(store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="is LinearRegression; annotated LogisticRegression"):
        encode(LinearRegression(), LogisticRegression, store)
    with pytest.raises(WrongValue, match="is LinearRegression; annotated LogisticRegression"):
        decode(encode(LinearRegression(), BaseEstimator, store), LogisticRegression, store)


def test_trees_are_trusted_by_the_reviewed_list(store: ArtifactStore) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    back: Any = decode(encode(model, BaseEstimator, store), BaseEstimator, store)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


def test_untrusted_types_are_refused_when_stored(store: ArtifactStore, trust: Callable[[str], None]) -> None:
    with pytest.raises(UntrustedTypes, match=MINE) as caught:
        encode(Mine().fit(), BaseEstimator, store)
    assert "ORCHESTRATOR_TRUSTED_TYPES" in str(caught.value.hint)


def test_types_of_the_setting_are_trusted_and_only_while_it_names_them(
    store: ArtifactStore, trust: Callable[[str], None]
) -> None:
    trust(f"other.Type, {MINE}")
    tree = encode(Mine().fit(), BaseEstimator, store)
    assert isinstance(decode(tree, BaseEstimator, store), Mine)
    trust("")
    with pytest.raises(UntrustedTypes, match=MINE) as caught:
        decode(tree, BaseEstimator, store)
    assert str(tree["digest"]) in str(caught.value)
    assert "ORCHESTRATOR_TRUSTED_TYPES" in str(caught.value.hint)


def test_a_class_and_a_function_of_ones_own_need_trust(
    store: ArtifactStore, trust: Callable[[str], None]
) -> None:
    for model, name in (
        (Mine().fit(), r"test_estimators\.Mine"),
        (FunctionTransformer(subprocess.run), r"subprocess\.run"),
    ):
        with pytest.raises(UntrustedTypes, match=name):
            encode(model, BaseEstimator, store)


def test_a_file_with_untrusted_types_put_there_by_others_never_loads(
    store: ArtifactStore, trust: Callable[[str], None]
) -> None:
    evil = store.put(skops.io.dumps(FunctionTransformer(subprocess.run)))
    with pytest.raises(UntrustedTypes, match=r"subprocess\.run"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


@pytest.mark.parametrize("data", [b"", b"nothing", b"\x80\x04K\x01."])
def test_a_blob_that_is_no_model_is_one_clear_error(data: bytes, store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match="is no estimator that can be loaded here"):
        decode({"codec": "estimator", "digest": store.put(data)}, BaseEstimator, store)


def test_what_skops_cannot_store_is_refused(store: ArtifactStore) -> None:
    model = LogisticRegression()
    model.generator_ = (number for number in range(3))
    with pytest.raises(WrongValue, match="is a LogisticRegression that skops cannot store"):
        encode(model, BaseEstimator, store)


FIT = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from orchestrator.artifacts import ArtifactStore, encode
X, y = np.arange(12.0).reshape(6, 2), np.array([0, 0, 0, 1, 1, 1])
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
print(encode(model, type(model), ArtifactStore("memory://"))["digest"])
"""


def test_equal_models_have_equal_digests_in_every_process(store: ArtifactStore) -> None:
    def digest() -> object:
        return encode(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), Pipeline, store)[
            "digest"
        ]

    elsewhere = subprocess.check_output(
        [sys.executable, "-c", FIT], text=True, env={"PYTHONHASHSEED": "7"}
    ).strip()
    assert digest() == digest() == elsewhere
