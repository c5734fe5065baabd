"""search: 24 candidates on 5 folds each as a map of trials, against `GridSearchCV` on as many cores."""

from __future__ import annotations

import time

from benchmarks.contenders import LEISURE, run_ours
from benchmarks.interleaving import duel
from benchmarks.rig import Rig
from benchmarks.row import Row

TARGET = 1.0
SLOTS, FOLDS, ROWS, TREES = 2, 5, 1_000, 40
STAGES = "benchmarks.search_stages"


def measure(rig: Rig, *, quick: bool) -> Row:
    """The ratio of the times from the call until the best candidate is known."""
    from benchmarks import search_stages  # loads scikit-learn, which no other row needs

    rows, rounds = (200, 1) if quick else (ROWS, 2)
    parameters = {"rows": rows, "folds": FOLDS, "trees": TREES}
    with rig.worker(slots=SLOTS, queues=("data", "training"), more_pipelines=STAGES):
        found = duel(
            lambda: run_ours(rig, search_stages.grid, parameters, pace=LEISURE),
            lambda: _by_hand(rows),
            rounds=rounds,
            warm_up=1,
        )
    count = len(search_stages.candidates(TREES))
    return Row(
        name="search",
        what=f"{count} random forests on {FOLDS} folds of {rows:,} rows, a trial for each, until the best is "
        f"known; `GridSearchCV(n_jobs={SLOTS}, refit=False)` on the same",
        ours=f"{found.our_median:.1f} s",
        baseline=f"{found.baseline_median:.1f} s",
        ratio=f"{found.ratio:.2f}×",
        target=f"≤ {TARGET:g}×",
        reached=found.ratio <= TARGET,
        detail=f"{rounds} rounds, {SLOTS} slots; {count * FOLDS} trials in one map, each scores its fold",
    )


def _by_hand(rows: int) -> float:
    """The same with scikit-learn alone; its processes stay, as the worker's do."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    from benchmarks import search_stages

    begun = time.perf_counter()
    examples = search_stages.examples.function(rows)
    space = {name: list(values) for name, values in search_stages.space(TREES).items()}
    search = GridSearchCV(RandomForestClassifier(random_state=0), space, cv=FOLDS, n_jobs=SLOTS, refit=False)
    search.fit(examples.features, examples.labels)
    return time.perf_counter() - begun
