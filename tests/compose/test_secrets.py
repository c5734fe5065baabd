"""Where secrets must not be found, once runs have succeeded, failed, and lost Redis on the way."""

from __future__ import annotations

from .stack import Stack


def test_no_log_event_or_artifact_holds_a_secret(stack: Stack):
    stack.wait_for(stack.submit("slow_fit", seconds=0.1))
    run = stack.submit("naps", count=3, seconds=2)
    stack.machine_at_work(run, "nap[0]")
    stack.compose("restart", "redis")
    stack.wait_for(run)

    database = ["postgres", "pg_dump", "--username", "mlflow", "mlflow"]
    texts = {
        "the containers' logs": stack.compose("logs", "--no-color"),
        "the run's logs": stack.orchestrator("logs", run),
        "the run's record": stack.orchestrator("show", run, "--json"),
        "the artifacts": stack.compose("exec", "-T", "coordinator", "grep", "-rha", "", "/artifacts"),
        "MLflow's files": stack.compose("exec", "-T", "mlflow", "grep", "-rha", "", "/mlartifacts"),
        "MLflow's database": stack.compose("exec", "-T", *database),
    }
    secrets = [value for name, value in stack.secrets.items() if name.endswith(("PASSWORD", "KEY"))]
    assert all(texts.values())
    assert [where for where, text in texts.items() if any(secret in text for secret in secrets)] == []
