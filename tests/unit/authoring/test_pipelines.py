"""Pipelines are written down as graphs, and run locally."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from orchestrator import InvalidData, Retry, context, pipeline, stage
from orchestrator.authoring.errors import EmptyMap, InvalidPipeline, InvalidPolicy
from orchestrator.authoring.graph import Constant, Gather, Graph, Not, Output
from orchestrator.compiler.arrange import arrange
from orchestrator.compiler.draw import mermaid, tree


class Parts(NamedTuple):
    train: list[int]
    test: list[int]


@dataclass(frozen=True)
class Candidate:
    depth: int
    score: float


@stage(retry=Retry(on=(OSError,), times=5, backoff=2.0))
def load(path: str) -> list[int]:
    return list(range(len(path)))


@stage
def split(rows: list[int], test_fraction: float) -> Parts:
    cut = len(rows) - round(len(rows) * test_fraction)
    return Parts(rows[:cut], rows[cut:])


@stage(queue="training", time_limit=60)
def fit(train: list[int], depth: int) -> Candidate:
    return Candidate(depth, sum(train) / depth)


@stage(queue="training")
def best(candidates: list[Candidate]) -> Candidate:
    return max(candidates, key=lambda each: each.score)


@stage
def good(candidate: Candidate, minimum: float) -> bool:
    return candidate.score >= minimum


@stage(queue="deployment")
def deploy(candidate: Candidate) -> None:
    DEPLOYED.append(candidate)


@stage
def total(numbers: Sequence[float]) -> float:
    return sum(numbers)


@stage
def score_of(candidate: Candidate) -> float:
    return candidate.score


@stage
def attempt() -> str:
    return f"{context.run} {context.node} {context.attempt}"


@stage
def same(value: bool) -> bool:
    return value


DEPLOYED: list[Candidate] = []


@pipeline
def churn(path: str = "123456789", minimum: float = 0.0) -> None:
    """Find the best depth, and deploy it if it is good."""
    parts = split(load(path), 0.2)
    winner = best(fit.partial(train=parts.train).map(depth=[3, 5, 9]))
    deploy(winner).only_if(good(winner, minimum))


@pipeline
def asking() -> None:
    """With what is written down only where it is used."""
    load.map(path=["x"], at_least=1)


def mistakes_of(function: Callable[..., object]) -> tuple[str, ...]:
    with pytest.raises(InvalidPipeline) as caught:
        pipeline(function).graph()
    return caught.value.mistakes


def test_a_stage_called_outside_a_pipeline_is_the_plain_function() -> None:
    assert fit([1, 2, 3], depth=2) == Candidate(2, 3.0)


def test_a_stage_looks_like_its_function() -> None:
    assert getattr(load, "__name__", None) == "load"
    assert load.name == f"{__name__}.load"


def test_calls_become_nodes_in_the_order_written() -> None:
    assert [node.name for node in churn.graph()] == ["load", "split", "fit", "best", "deploy", "good"]


def test_the_field_of_a_record_is_a_reference_too() -> None:
    assert churn.graph()["fit"].inputs["train"] == Output(churn.graph()["split"].name, ("train",))


def test_a_named_tuple_can_be_unpacked() -> None:
    @pipeline
    def unpacked() -> None:
        train, test = split([1, 2], 0.5)
        total(train)
        total(test)

    graph = unpacked.graph()
    assert graph["total"].inputs["numbers"] == Output(graph["split"].name, (0,))
    assert graph["total-2"].inputs["numbers"] == Output(graph["split"].name, (1,))


def test_a_list_of_references_fans_in() -> None:
    @pipeline
    def fan_in() -> None:
        one, two = fit([1], 1), fit([2], 2)
        best([one, two])

    graph = fan_in.graph()
    assert isinstance(graph["best"].inputs["candidates"], Gather)
    assert graph["best"].needs == {"fit", "fit-2"}


def test_a_map_varies_some_parameters_and_fixes_others() -> None:
    node = churn.graph()["fit"]
    assert node.varying == {"depth": Constant([3, 5, 9])}
    assert node.known_length == 3


def test_a_map_may_go_through_what_another_stage_returns() -> None:
    @pipeline
    def over_reference() -> None:
        total(score_of.map(candidate=fit.partial(train=[1]).map(depth=[1, 2])))

    graph = over_reference.graph()
    assert graph["score_of"].known_length is None
    assert graph["score_of"].needs == {"fit"}


def test_a_second_use_of_a_stage_gets_a_number() -> None:
    @pipeline
    def twice() -> None:
        load("a")
        load("b")

    assert [node.name for node in twice.graph()] == ["load", "load-2"]


def test_after_adds_order_without_data() -> None:
    @pipeline
    def ordered() -> None:
        first = load("a")
        load("b").after(first)  # type: ignore[attr-defined]

    assert ordered.graph()["load-2"].after == ("load",)


def test_order_and_conditions_have_a_form_that_type_checkers_see() -> None:
    @pipeline
    def typed() -> None:
        first = load("a")
        check = good(fit([1], 1), 0.5)
        fit.after(first).only_if(check)([1], 2)

    node = typed.graph()["fit-2"]
    assert node.after == ("load",)
    assert [str(condition) for condition in node.conditions] == ["good"]


def test_options_replace_a_part_of_the_policy_for_one_use() -> None:
    @pipeline
    def optional() -> None:
        load.options(queue="training")("a")
        load("b")

    first, second = optional.graph()
    assert (first.policy.queue, second.policy.queue) == ("training", "data")
    assert first.policy.retry == second.policy.retry


def test_a_pipeline_inside_a_pipeline_adds_its_nodes() -> None:
    @pipeline
    def outer() -> None:
        load("first")
        churn.function("123")

    assert [node.name for node in outer.graph()][:3] == ["load", "load-2", "split"]


def test_a_graph_survives_json() -> None:
    graph = churn.graph()
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert asking.graph() == Graph.from_json(json.loads(json.dumps(asking.graph().to_json())))


def test_run_locally_gives_each_nodes_output() -> None:
    DEPLOYED.clear()
    outputs = churn.run_locally(path="12345")
    assert outputs["best"] == Candidate(3, 2.0)
    assert [each.depth for each in outputs["fit"]] == [3, 5, 9]  # type: ignore[attr-defined]
    assert [each.depth for each in DEPLOYED] == [3]


def test_run_locally_skips_what_a_condition_rules_out() -> None:
    DEPLOYED.clear()
    assert "deploy" not in churn.run_locally(minimum=1e9)
    assert DEPLOYED == []


def test_run_locally_parses_text_parameters() -> None:
    assert "deploy" in churn.run_locally(minimum="0.5")  # type: ignore[arg-type]


def test_the_context_names_the_node() -> None:
    @pipeline
    def one() -> None:
        attempt()

    assert one.run_locally() == {"attempt": "local attempt 1"}


def test_all_mistakes_are_told_at_once() -> None:
    def wrong() -> None:
        load(3)  # type: ignore[arg-type]
        split([1], 0.5, seed=1)  # type: ignore[call-arg]
        best(load("x"))  # type: ignore[arg-type]

    found = mistakes_of(wrong)
    assert found == (
        "load(path=3): Input should be a valid string; it takes str",
        "split(…): got an unexpected keyword argument 'seed'",
        "best(candidates=load-2): load-2 gives list[int], but best takes list[Candidate]",
    )


def test_incompatible_annotations_name_both_stages() -> None:
    def wrong() -> None:
        score_of(split([1], 0.5))  # type: ignore[arg-type]

    assert mistakes_of(wrong) == (
        "score_of(candidate=split): split gives Parts, but score_of takes Candidate",
    )


def test_an_int_fits_where_a_float_is_taken() -> None:
    @stage
    def count() -> int:
        return 3

    @pipeline
    def widening() -> None:
        split([1], count())

    assert len(widening.graph()) == 2


def test_an_unknown_field_lists_those_there_are() -> None:
    def wrong() -> None:
        total(split([1], 0.5).valid)  # type: ignore[attr-defined]

    assert mistakes_of(wrong) == ("split.valid: split returns Parts; its fields are train, test",)


def test_a_cycle_names_the_nodes_on_it() -> None:
    def wrong() -> None:
        first = deploy(fit([1], 1))
        second = deploy(fit([1], 2)).after(first)
        first.after(second)

    assert "a cycle: deploy → deploy-2 → deploy" in mistakes_of(wrong)[0]


def test_a_map_over_an_empty_list_gives_an_empty_list() -> None:
    @pipeline
    def empty() -> None:
        total(score_of.map(candidate=fit.partial(train=[1]).map(depth=[])))

    assert empty.graph()["fit"].known_length == 0
    assert empty.run_locally() == {"fit": [], "score_of": [], "total": 0}
    assert fit.partial(train=[1]).map(depth=[]) == []


def test_a_map_with_fewer_items_than_its_author_asks_for_is_a_mistake() -> None:
    def wrong() -> None:
        fit.partial(train=[1]).map(depth=[], at_least=1)
        load.map(path=["one"], at_least=2)

    assert mistakes_of(wrong) == (
        "fit.map(…, at_least=1) got no items",
        "load.map(…, at_least=2) got 1 item",
    )
    with pytest.raises(EmptyMap, match=r"fit.map\(…, at_least=1\) got no items"):
        fit.partial(train=[1]).map(depth=[], at_least=1)


def test_the_number_of_items_that_a_map_needs_is_a_number() -> None:
    with pytest.raises(InvalidPolicy, match="a number of items, not below 0"):
        fit.partial(train=[1]).map(depth=[], at_least=-1)


def test_lists_of_different_lengths_are_a_mistake() -> None:
    def wrong() -> None:
        fit.map(train=[[1], [2]], depth=[1, 2, 3])

    assert mistakes_of(wrong) == (
        "fit.map(…) goes through its lists side by side, but train has 2, depth has 3",
    )


def test_a_map_and_a_list_of_another_length_are_a_mistake() -> None:
    def wrong() -> None:
        scores = score_of.map(candidate=fit.partial(train=[1]).map(depth=[1, 2, 3]))
        good.map(candidate=fit.partial(train=[1]).map(depth=[1, 2, 3, 4]), minimum=scores)

    assert mistakes_of(wrong) == (
        "good.map(…) goes through its lists side by side, but candidate has 4, minimum has 3",
    )


def test_lists_that_tolerated_failures_may_shorten_are_no_pairs() -> None:
    def wrong() -> None:
        some = fit.options(tolerate=0.5).partial(train=[1]).map(depth=[1, 2])
        scores = score_of.map(candidate=some)
        good.map(candidate=some, minimum=scores)
        good.map(candidate=some, minimum=[0.1, 0.2])
        good.map(candidate=some, minimum=score_of.options(tolerate=0.5).map(candidate=some))

    told = "fit leaves out the items that it lets fail, so these lists may not fit side by side"
    first, second = mistakes_of(wrong)
    assert first.startswith(f"good-2.map(candidate, minimum): {told}")
    assert second.startswith(f"good-3.map(candidate, minimum): {told}")


def test_a_table_cannot_be_written_into_a_run() -> None:
    def wrong() -> None:
        fit(object(), 1)  # type: ignore[arg-type]

    assert "cannot be written into a run; load or make it in a stage" in mistakes_of(wrong)[0]


def test_a_condition_can_be_negated() -> None:
    @pipeline
    def either(minimum: float = 0.0) -> None:
        one = fit([1], 1)
        known = good(one, minimum)
        deploy.only_if(~known)(one)
        score_of.only_if(~~known)(one)
        same(~known)  # type: ignore[arg-type]  # to a type checker ~ of a bool is an int

    graph = either.graph()
    assert graph["deploy"].conditions == (Not(Output(graph["good"].name)),)
    assert graph["deploy"].needs == {"fit", "good"}
    assert graph["score_of"].conditions == (Output(graph["good"].name),)
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert "deploy  (deployment; only if not good" in tree(arrange(graph))
    assert "-. if not .->" in mermaid(graph)
    assert {"score_of", "deploy"} & either.run_locally(minimum=0.0).keys() == {"score_of"}
    assert {"score_of", "deploy"} & either.run_locally(minimum=9.0).keys() == {"deploy"}
    assert either.run_locally(minimum=9.0)["same"] is True


def test_only_a_bool_can_be_negated() -> None:
    def wrong() -> None:
        deploy.only_if(~load("a"))(fit([1], 1))  # type: ignore[operator]

    assert mistakes_of(wrong) == ("~load: load gives list[int]; only a bool can be negated",)


def test_a_map_goes_through_a_list() -> None:
    def wrong() -> None:
        load.map(path=score_of(fit([1], 1)))
        same.map(value=~good(fit([1], 1), 0.5))

    assert mistakes_of(wrong) == (
        "load.map(path=score_of): score_of gives float, but a map goes through a list",
        "same.map(value=not good): good gives bool, but a map goes through a list",
    )


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda truth, _: not truth, ".only_if(~x) for not"),
        (lambda truth, other: truth and other, ".only_if(x).only_if(y) for and"),
        (lambda truth, other: truth & other, "for and, a stage for anything else"),
        (lambda truth, _: truth == 1, "do that in a stage that returns a bool"),
        (lambda truth, _: truth > 1, "do that in a stage that returns a bool"),
        (lambda truth, _: truth + 1, "cannot be computed with; do that in a stage"),
        (lambda truth, _: 2 * truth, "cannot be computed with; do that in a stage"),
        (lambda truth, _: -truth, "cannot be computed with; do that in a stage"),
    ],
)
def test_what_computes_with_a_reference_is_told_what_to_do(
    use: Callable[[object, object], object], told: str
) -> None:
    def wrong() -> None:
        one = fit([1], 1)
        use(good(one, 0.5), good(one, 0.7))

    assert told in mistakes_of(wrong)[0]


@pytest.mark.parametrize("use", [bool, len, list])
def test_a_reference_has_no_value_yet(use: Callable[[object], object]) -> None:
    def wrong() -> None:
        use(load("a"))

    assert "load has no value while the pipeline is written down" in mistakes_of(wrong)[0]


def test_a_pipeline_without_stages_is_a_mistake() -> None:
    assert mistakes_of(lambda: None) == ("it calls no stage",)


def test_an_empty_list_met_at_run_time_gives_an_empty_list_unless_items_are_asked_for() -> None:
    @pipeline
    def empty(at_least: int = 0) -> None:
        total(score_of.map(candidate=nothing(), at_least=at_least))

    @stage
    def nothing() -> list[Candidate]:
        return []

    assert empty.run_locally()["total"] == 0
    with pytest.raises(EmptyMap, match=r"score_of.map\(…, at_least=1\) got no items"):
        empty.run_locally(at_least=1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Retry(times=0), "at least 1"),
        (lambda: Retry(on=()), "tuple of exception classes"),
        (lambda: Retry(backoff=-1), "not below 0"),
        (lambda: stage(time_limit=0)(lambda: None), "seconds, above 0"),
        (lambda: stage(priority=10)(lambda: None), "from 0"),
    ],
)
def test_policies_that_cannot_be_meant_are_refused(make: Callable[[], object], told: str) -> None:
    with pytest.raises(InvalidPolicy, match=told):
        make()


def test_retries_wait_twice_as_long_each_time_up_to_the_cap() -> None:
    rule = Retry(times=4, backoff=2.0, cap=10.0).rule()
    assert [rule.wait(tries, chance=0.0) for tries in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 10.0]
    assert rule.wait(1, chance=0.999) >= 1.0


def test_a_retry_covers_the_exceptions_it_names_and_their_kin() -> None:
    rule = Retry(on=(OSError,)).rule()
    assert rule.covers(FileNotFoundError())
    assert not rule.covers(ValueError())


def test_unfit_is_an_error_of_the_run_not_of_its_use() -> None:
    assert InvalidData("too few rows").exit_status == 1
