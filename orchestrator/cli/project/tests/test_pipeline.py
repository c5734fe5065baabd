"""The pipeline in this process, and on real workers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sample_project.pipeline import add_features, load, sample_project

from orchestrator import InvalidData
from orchestrator.pytest_plugin import OrchestratorStack

CUSTOMERS = Path(__file__).parents[1] / "data" / "customers.csv"


def test_a_stage_is_a_plain_function() -> None:
    customers = pd.DataFrame({"months": [10], "price": [20], "calls": [5]})
    featured = add_features(customers)
    assert (featured["paid"][0], featured["calls_a_month"][0]) == (200, 0.5)


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("months,price\n1,2\n")
    with pytest.raises(InvalidData, match="calls"):
        load(tmp_path / "wrong.csv")


def test_the_model_passes_its_gate_in_this_process() -> None:
    outputs = sample_project.run_locally(path=CUSTOMERS)
    assert outputs["good_enough"] is True


def test_the_pipeline_runs_on_workers(orchestrator_stack: OrchestratorStack) -> None:
    run = orchestrator_stack.run(sample_project, path=CUSTOMERS)
    assert run.state == "succeeded"
    assert [run.node(f"fit[{index}]").state for index in range(3)] == ["succeeded"] * 3
    assert run.output("good_enough") is True
