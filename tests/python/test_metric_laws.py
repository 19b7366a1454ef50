"""The laws of every metric, whichever there are: a new one is held to them without a line here."""

from __future__ import annotations

import pytest
from metric_tester import MetricTester

from transferability._metric.registry import metric_specs

SPECS = metric_specs()
TASKS = [(name, task) for name, spec in SPECS.items() for task in spec.tasks]
#: Expectation maximisation starts from rows drawn by their place, so order matters to it.
BY_PLACE = {"n_leep"}
#: Metrics that read labels: the order of rows is no part of their meaning.
LABELLED = [(n, t) for n, t in TASKS if "unlabelled" not in SPECS[n].tasks and n not in BY_PLACE]


@pytest.mark.parametrize(("name", "task"), LABELLED)
def test_rows_in_any_order(name: str, task: str) -> None:
    MetricTester(name).check_rows_in_any_order(task)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_layouts_and_dtypes(name: str, task: str) -> None:
    MetricTester(name).check_layouts_and_dtypes(task)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_threads_change_no_bit(name: str, task: str) -> None:
    MetricTester(name).check_threads(task)


@pytest.mark.parametrize("name", [n for n, s in SPECS.items() if "classification" in s.tasks])
def test_names_of_classes(name: str) -> None:
    MetricTester(name).check_names_of_classes()
