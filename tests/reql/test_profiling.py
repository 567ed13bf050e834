"""Profiles of queries: which events there are, and where."""

from typing import Any

from tests.reql.evaluation import Evaluator

ADD, GT, RANGE, MAP, FILTER, COUNT = 24, 21, 173, 38, 39, 43


def function(body: Any) -> list[Any]:
    return [69, [[2, [1]], body]]


ROW = [10, [1]]


def names(events: list[dict[str, Any]]) -> list[Any]:
    """The events without their times."""
    return [
        (event["description"], event["n_samples"])
        if "n_samples" in event
        else (event["description"], names(event["sub_tasks"]))
        for event in events
    ]


def test_terms_are_events_within_the_term_that_evaluated_them(reql: Evaluator) -> None:
    profile = reql.response([ADD, [1, [ADD, [2, 3]]]], profile=True)["p"]
    assert names(profile) == [("Evaluating ADD.", [("Evaluating ADD.", [])])]
    assert profile[0]["duration(ms)"] >= profile[0]["sub_tasks"][0]["duration(ms)"] >= 0


def test_what_a_function_does_for_every_row_is_counted_by_term(reql: Evaluator) -> None:
    kept = [FILTER, [[RANGE, [100]], function([GT, [[ADD, [ROW, 1]], 50]])]]
    events = names(reql.response([COUNT, [kept]], profile=True)["p"])
    assert events == [
        (
            "Evaluating count.",
            [
                ("Evaluating filter.", [("Evaluating range.", [])]),
                ("Evaluating ADD.", 100),
                ("Evaluating GT.", 100),
            ],
        )
    ]


def test_a_batch_of_a_stream_is_an_event_of_its_own(reql: Evaluator) -> None:
    query = [MAP, [[RANGE, [10]], function([ADD, [ROW, 1]])]]
    events = names(reql.response(query, profile=True)["p"])
    assert events[-1] == ("Reading a batch of rows.", [("Evaluating ADD.", 10)])


def test_errors_and_unprofiled_queries_have_no_profile(reql: Evaluator) -> None:
    assert "p" not in reql.response([ADD, [1, "x"]], profile=True)
    assert "p" not in reql.response([ADD, [1, 2]], profile=False)
    assert "p" not in reql.response([ADD, [1, 2]])


def test_the_answer_is_the_same_with_and_without(reql: Evaluator) -> None:
    query = [MAP, [[RANGE, [50]], function([ADD, [ROW, [COUNT, [[RANGE, [ROW]]]]]])]]
    profiled = reql.response(query, profile=True)
    assert profiled["r"] == reql.response(query)["r"]
