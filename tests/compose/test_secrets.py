"""Where secrets must not be found, once runs have succeeded, failed, and lost Redis on the way."""

from __future__ import annotations

from .stack import Stack, docker


def test_no_log_event_or_artifact_holds_a_secret(stack: Stack):
    stack.wait_for(stack.submit("slow_fit", seconds=0.1))
    run = stack.submit("naps", count=3, seconds=10)
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
    assert all(texts.values())
    assert [where for where, text in texts.items() if holds_secret(stack, text)] == []


def test_no_container_shows_a_secret_to_who_inspects_it(stack: Stack):
    found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={stack.project}")
    shown = {each: docker("inspect", each) for each in found.split()}
    assert len(shown) >= 8
    assert [each for each, text in shown.items() if holds_secret(stack, text)] == []
    assert not holds_secret(stack, stack.compose("config"))


def test_a_stage_finds_no_secret_in_its_environment(stack: Stack):
    stack.wait_for(stack.submit("seen_by_stages"))
    kept = stack.compose("exec", "-T", "coordinator", "grep", "-rha", "", "/artifacts")
    assert "MLFLOW_TRACKING_URI" in kept
    assert not holds_secret(stack, kept)


def holds_secret(stack: Stack, text: str) -> bool:
    """Whether one of the stack's secrets is in a text."""
    secrets = [value for name, value in stack.secrets.items() if name.endswith(("PASSWORD", "KEY"))]
    assert len(secrets) >= 9
    return any(secret in text for secret in secrets)
