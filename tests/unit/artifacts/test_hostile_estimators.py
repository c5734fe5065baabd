"""What a file of somebody else's does with the types that are trusted in estimators: nothing."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
import skops.io
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from orchestrator.artifacts import (
    ArtifactStore,
    StoreError,
    UntrustedTypes,
    WrongValue,
    decode,
    encode,
)

from .skops_files import edited

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 0, 0, 1, 1, 1])


MEMORIES = [
    Pipeline([("scale", StandardScaler())], memory="/cache"),
    FeatureAgglomeration(memory="/cache"),
    GridSearchCV(Pipeline([("scale", StandardScaler())], memory="/cache"), {}),
    make_column_transformer((Pipeline([("scale", StandardScaler())], memory="/cache"), [0])),
    VotingClassifier([("one", Pipeline([("fit", LogisticRegression())], memory="/cache"))]),
]


@pytest.mark.parametrize("model", MEMORIES, ids=lambda model: type(model).__name__)
def test_a_memory_is_refused_wherever_it_is(model: Any, store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="memory='/cache', from where it would unpickle"):
        encode(model, BaseEstimator, store)
    evil = store.put(skops.io.dumps(model))
    with pytest.raises(StoreError, match="memory='/cache', from where it would unpickle"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


SEARCHES = [
    GridSearchCV(make_pipeline(StandardScaler()), {"memory": [None, "/cache"]}),
    GridSearchCV(make_pipeline(StandardScaler()), [{"memory": np.array(["/cache"], object)}]),
    RandomizedSearchCV(make_pipeline(make_pipeline(StandardScaler())), {"pipeline__memory": ["/cache"]}),
    make_pipeline(GridSearchCV(make_pipeline(CountVectorizer()), {"countvectorizer__input": ["filename"]})),
    GridSearchCV(LogisticRegression(), {"machines": ["elsewhere:80"]}),
]


@pytest.mark.parametrize("model", SEARCHES)
def test_a_search_cannot_set_what_an_estimator_may_not_have(model: Any, store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match=r"param_.*, which leads what it fits to other files"):
        encode(model, BaseEstimator, store)
    evil = store.put(skops.io.dumps(model))
    with pytest.raises(StoreError, match=r"param_.*, which leads what it fits to other files"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


def test_a_search_may_set_what_leads_nowhere(store: ArtifactStore) -> None:
    grid = {"memory": [None], "logisticregression__C": [0.1, 1.0], "standardscaler__copy": [True]}
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), grid, cv=2).fit(X, Y)
    back: Any = decode(encode(search, BaseEstimator, store), BaseEstimator, store)
    assert back.param_grid == grid


def test_a_planted_cache_is_never_unpickled(store: ArtifactStore, tmp_path: Path) -> None:
    cache, ran = tmp_path / "cache", tmp_path / "ran"
    model = Pipeline([("scale", StandardScaler()), ("fit", LogisticRegression())], memory=str(cache))
    clone(model).fit(X, Y)
    (output,) = cache.rglob("output.pkl")
    output.write_bytes(pickle.dumps(Touching(ran)))
    with contextlib.suppress(TypeError):  # without the check, this is what happens
        clone(model).fit(X, Y)
    assert ran.exists()
    ran.unlink()
    with pytest.raises(StoreError):
        decode({"codec": "estimator", "digest": store.put(skops.io.dumps(model))}, BaseEstimator, store)
    assert not ran.exists()


class Touching:
    """A pickle that leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_memory_that_is_hidden_in_odd_attributes_is_found(store: ArtifactStore) -> None:
    """Attributes may be any node that `dict.update` understands: here, JSON."""

    def hide(schema: Any) -> None:
        text = json.dumps({"steps": [], "memory": "/cache", "_sklearn_version": sklearn.__version__})
        schema["content"] = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
        schema["content"] |= {"content": text, "is_json": True}

    evil = store.put(edited(skops.io.dumps(Pipeline([("scale", StandardScaler())])), hide))
    with pytest.raises(StoreError, match="memory='/cache'"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


def test_a_vectorizer_that_reads_files_is_refused(store: ArtifactStore) -> None:
    model = make_pipeline(CountVectorizer(input="filename"), LogisticRegression())
    with pytest.raises(WrongValue, match="would read any file"):
        encode(model, BaseEstimator, store)
    with pytest.raises(StoreError, match="would read any file"):
        decode({"codec": "estimator", "digest": store.put(skops.io.dumps(model))}, BaseEstimator, store)


def test_parameters_that_lead_lightgbm_elsewhere_are_refused(store: ArtifactStore) -> None:
    model = pytest.importorskip("lightgbm").LGBMClassifier(forcedsplits_filename="/etc/passwd")
    with pytest.raises(StoreError, match="forcedsplits_filename='/etc/passwd'"):
        decode({"codec": "estimator", "digest": store.put(skops.io.dumps(model))}, BaseEstimator, store)


@pytest.mark.parametrize(
    ("loader", "module", "name"),
    [
        ("FunctionNode", "sklearn.datasets._base", "load_files"),
        ("FunctionNode", "sklearn.datasets", "load_files"),
        ("FunctionNode", "numpy", "load"),
        ("FunctionNode", "joblib", "load"),
        ("FunctionNode", "sklearn.preprocessing._data", "_handle_zeros_in_scale"),
        ("FunctionNode", "sklearn.utils.fixes", "_open_text"),
        ("ObjectNode", "sklearn.utils.parallel", "Parallel"),
        ("ConstructorFromReduceNode", "sklearn.metrics._classification", "f1_score"),
        ("ListNode", "sklearn.preprocessing._data", "scale"),
        ("SetNode", "sklearn.compose._column_transformer", "make_column_selector"),
        ("TypeNode", "sklearn.preprocessing._data", "scale"),
        ("TypeNode", "subprocess", "run"),
    ],
)
def test_each_use_of_a_name_is_judged_by_itself(
    loader: str, module: str, name: str, store: ArtifactStore
) -> None:
    def plant(schema: Any) -> None:
        node = {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1}
        content = [] if loader in ("ListNode", "SetNode") else PAIR
        schema["content"]["content"]["func"] = {**node, "content": content}

    evil = store.put(edited(skops.io.dumps(FunctionTransformer(np.exp)), plant))
    with pytest.raises(UntrustedTypes, match=name):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


@pytest.mark.parametrize("bound", [partial(Ridge, alpha=2.0), partial(np.load, "x")], ids=["class", "load"])
def test_only_functions_that_are_trusted_by_themselves_are_bound(bound: Any, store: ArtifactStore) -> None:
    with pytest.raises(UntrustedTypes):
        encode(FunctionTransformer(bound), BaseEstimator, store)
    evil = store.put(skops.io.dumps(FunctionTransformer(bound)))
    with pytest.raises(UntrustedTypes):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


PAIR = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "__id__": 2, "content": []}


def test_keys_are_made_by_no_function(store: ArtifactStore, trust: Callable[[str], None]) -> None:
    trust("os.system")

    def plant(schema: Any) -> None:
        node = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
        kinds = schema["content"]["key_types"]["content"]
        kinds[0] = {**kinds[0], **node}

    evil = store.put(edited(skops.io.dumps(LogisticRegression()), plant))
    with pytest.raises(StoreError, match="keys of a dictionary are of odd types"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


@pytest.mark.parametrize("edit", [lambda s: s.update(protocol=1), lambda s: s.update(protocol=0)])
def test_an_older_protocol_which_judges_less_is_refused(edit: Any, store: ArtifactStore) -> None:
    old = store.put(edited(skops.io.dumps(LogisticRegression()), edit))
    with pytest.raises(StoreError, match="another version of skops"):
        decode({"codec": "estimator", "digest": old}, BaseEstimator, store)


def test_a_sparse_matrix_within_a_model_is_checked_too(store: ArtifactStore) -> None:
    model = LogisticRegression()
    model.coef_ = sparse.csr_matrix(np.eye(4))
    model.coef_.indices[-1] = 1_000_000
    with pytest.raises(StoreError, match="is no estimator that can be read"):
        decode({"codec": "estimator", "digest": store.put(skops.io.dumps(model))}, BaseEstimator, store)
