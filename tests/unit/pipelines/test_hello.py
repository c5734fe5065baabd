"""The smallest pipeline."""

from __future__ import annotations

import subprocess
import sys

from pipelines.hello import hello


def test_it_greets_by_name() -> None:
    assert str(hello.run_locally(name="Ada")["greet"]).startswith("Hello, Ada, from ")


def test_it_is_one_stage_on_the_data_queue() -> None:
    (node,) = hello.graph()
    assert (node.stage, node.policy.queue) == ("pipelines.hello.greet", "data")


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "{'pandas', 'numpy', 'sklearn', 'mlflow', 'celery', 'pyarrow'}"
    code = f"import sys, pipelines.hello; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
