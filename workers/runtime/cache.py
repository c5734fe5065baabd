"""Reuse an earlier run's result if code, parameters and inputs are the same, and record why or why not."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from orchestrator.archive.cached_results import latest_key, result_key
from orchestrator.artifacts import StoreError, digest_of, reuse_all
from orchestrator.artifacts.tree import Tree
from orchestrator.authoring.graph import JSON
from workers.runtime.claimed_node import ClaimedNode
from workers.runtime.fingerprint import Fingerprint, files_of, fingerprint_of

log = logging.getLogger("orchestrator.cache")


@dataclass(frozen=True)
class Earlier:
    """The cached result of a node, if any."""

    output: Tree | None = None  #: the result to reuse; None: there is none
    why: str = ""  #: reason for users; empty if the stage is not cached
    reused: bool = False  #: the result comes from another run
    fingerprint: Fingerprint | None = None  #: computed before the function was called


def find_result(claimed: ClaimedNode) -> Earlier:
    """Find the output of a lost attempt or, if policy and run allow caching, the result of an earlier run."""
    stored = claimed.stored_before()
    if stored is not None:
        return Earlier(stored, "taken from an attempt that was lost before its result was recorded")
    if not claimed.ref.node.policy.cache:
        return Earlier()
    fingerprint = None
    try:
        fingerprint = fingerprint_of(claimed)
        earlier = _look_up(claimed, fingerprint)
    except OSError as error:
        earlier = Earlier(why=f"computed: what a parameter names cannot be read: {error}")
    except StoreError as error:
        if error.transient:
            raise
        earlier = Earlier(why=f"computed: results of earlier runs cannot be read: {error}")
    log.info(earlier.why)
    return replace(earlier, fingerprint=fingerprint)


def keep_result(claimed: ClaimedNode, output: Tree, earlier: Earlier) -> None:
    """Store the result and its fingerprint for later runs; if that fails, they compute it again."""
    fingerprint = earlier.fingerprint
    if fingerprint is None:
        return
    if fingerprint.files and files_of(claimed) != fingerprint.files:
        log.warning("the result was not kept for later runs: what it was made from has changed meanwhile")
        return
    store, run = claimed.resources.store, claimed.context.run
    kept: dict[str, JSON] = {
        "run": run,
        "node": claimed.ref.name,
        "digest": digest_of(output),
        "output": output,
    }
    try:
        store.write(result_key(fingerprint.digest), _as_text(kept))
        store.write(_latest_key(claimed), _as_text({"run": run, "of": asdict(fingerprint)}))
    except StoreError as error:
        log.warning("the result was not kept for later runs: %s", error)


def _look_up(claimed: ClaimedNode, fingerprint: Fingerprint) -> Earlier:
    if not claimed.context.specification.cache:
        return Earlier(why="computed: the run was sent with --no-cache")
    store = claimed.resources.store
    data = store.read(result_key(fingerprint.digest))
    if data is None:
        return Earlier(why=f"computed: {_why_not(claimed, fingerprint)}")
    try:
        found = json.loads(data)
        tree: Tree = found["output"]
        sound = digest_of(tree) == found["digest"] and reuse_all(tree, store)
    except (ValueError, LookupError, TypeError):
        sound = False
    if not sound:
        return Earlier(why="computed: an earlier run had the result, but it was lost or altered since")
    _claim_use(claimed, fingerprint, found)
    taken = f"taken from {found['node']} of run {found['run']}: same code, parameters and inputs"
    return Earlier(tree, taken, reused=True)


def _claim_use(claimed: ClaimedNode, fingerprint: Fingerprint, found: dict[str, JSON]) -> None:
    """Have the entry belong to this run, too, so that it is not pruned with the one that made it."""
    run = claimed.context.run
    if run not in (found["run"], found.get("used")):
        try:
            claimed.resources.store.write(result_key(fingerprint.digest), _as_text({**found, "used": run}))
        except StoreError as error:
            log.warning("the result may not be there for later runs: %s", error)


def _why_not(claimed: ClaimedNode, fingerprint: Fingerprint) -> str:
    """Describe how a node differs from the last one whose result was cached."""
    data = claimed.resources.store.read(_latest_key(claimed))
    if data is None:
        return "no earlier run has a result of this node"
    try:
        latest = json.loads(data)
        return f"since run {latest['run']}, {fingerprint.difference(Fingerprint(**latest['of']))}"
    except (ValueError, LookupError, TypeError):
        return "what the last run kept of this node cannot be read"


def _latest_key(claimed: ClaimedNode) -> str:
    return latest_key(claimed.context.graph.pipeline, claimed.ref.name)


def _as_text(plain: Mapping[str, JSON]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()
