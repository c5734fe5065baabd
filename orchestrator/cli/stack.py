"""`up` and `down`: the local stack that stays."""

from __future__ import annotations

import json
import sys

from orchestrator.authoring.masking import mask_text, mask_values
from orchestrator.cli.messages import print_note
from orchestrator.cli.options import AsJson, Slots, check_slots, parse_slots
from orchestrator.client.pipeline_lookup import first_command
from orchestrator.client.program import with_program_name
from orchestrator.settings import settings
from orchestrator.stack.background import start_in_background, stop_in_background
from orchestrator.stack_state import read_state


def up(*, slots: Slots = None, as_json: AsJson = False) -> None:
    """Start a local stack that stays: Redis, workers, Flower, MLflow."""
    wished = parse_slots(slots)
    check_slots(wished, settings().queues)
    home = settings().home
    before = read_state(home)
    if before and any(before.slots.get(queue) != count for queue, count in wished.items()):
        print_note("the stack is up already, with its own slots; `orchestrator down` first to change them")
    if before and not all(map(before.knows, settings().modules)):
        known = ", ".join(before.modules)
        print_note(
            f"the stack is up already, with {known}; `orchestrator down` first to change its pipelines"
        )
    state = start_in_background(home, wished, on_progress=lambda text: print(f"{text} …", file=sys.stderr))
    if as_json:
        print(json.dumps(mask_values(json.loads(state.as_json()))))
        return
    slots_told = "  ".join(f"{queue} ×{count}" for queue, count in state.slots.items())
    rows = {
        "Flower": state.flower_url,
        "MLflow": state.mlflow_url or state.mlflow_tracking_uri,
        "Redis": state.redis_url,
        "workers": slots_told,
        "logs": home / "logs",
        "stop": with_program_name("orchestrator down"),
        "next": with_program_name(first_command()),
    }
    print("the stack was up already" if before else "the stack is up")
    for name, value in rows.items():
        if value is not None:
            print(f"  {name:<8} {mask_text(str(value))}")


def down() -> None:
    """Stop the local stack."""
    home = settings().home
    print("the stack is stopped" if stop_in_background(home) else f"no stack is up in {home}")
