"""B-Tuning's regulariser: values, gradients, and teachers that stay as they are."""

from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import transferability as tx
from transferability.torch import BTuning
from transferability.tuning import Head, TeacherEnsemble

DATA = Path(__file__).parents[1] / "data"
CASES: list[dict[str, Any]] = json.loads((DATA / "golden_btuning.json").read_text())
NAIVE = runpy.run_path(str(Path(__file__).parents[1] / "python" / "reference" / "tuning.py"))
ARRAYS = dict(np.load(DATA / "golden_btuning.npz"))


def teachers_of(case: dict[str, Any]) -> TeacherEnsemble:
    means = [ARRAYS[f"{case['name']}__m{k}"] for k in range(case["n_models"])]
    heads = {
        f"model{k}": Head(case["logme"][k], mean, np.zeros(len(mean)))
        for k, mean in enumerate(means)
    }
    return TeacherEnsemble(heads, [f"model{k}" for k in case["teachers"]])


def batch_of(case: dict[str, Any], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {
        f"model{k}": torch.tensor(ARRAYS[f"{case['name']}__F{k}"][: case["batch"]], dtype=dtype)
        for k in case["teachers"]
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_recorded_values(case: dict[str, Any], dtype: torch.dtype) -> None:
    regulariser = BTuning(teachers_of(case), "model0", dtype=dtype)
    student = torch.tensor(ARRAYS[f"{case['name']}__target_batch"])
    value = regulariser(student, features=batch_of(case, dtype))
    assert value.item() == pytest.approx(case["mse_regulariser"], rel=1e-6)
    penalty = regulariser.penalty(student, features=batch_of(case, dtype))
    assert penalty.item() == pytest.approx(case["weighted"], rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_it_is_the_numpy_one_to_rounding(case: dict[str, Any]) -> None:
    teachers = teachers_of(case)
    features = batch_of(case, torch.float64)
    student = torch.tensor(ARRAYS[f"{case['name']}__target_batch"], dtype=torch.float64)
    mixed = teachers.predictive({name: rows.numpy() for name, rows in features.items()})
    expected = np.mean((teachers.head("model0")(student.numpy()) - mixed) ** 2)
    regulariser = BTuning(teachers, "model0", dtype=torch.float64)
    assert regulariser(student, features=features).item() == pytest.approx(expected, rel=1e-12)
    cached = regulariser(student, predictive=torch.tensor(mixed))
    assert cached.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_against_loops(case: dict[str, Any]) -> None:
    teachers, features = teachers_of(case), batch_of(case, torch.float64)
    heads = [teachers.head(name) for name in teachers.names]
    mixed = NAIVE["predictive"](
        [features[name].numpy() for name in teachers.names],
        [head.coef for head in heads],
        [head.score for head in heads],
    )
    student = ARRAYS[f"{case['name']}__target_batch"].astype(np.float64)
    expected = NAIVE["regulariser"](student, teachers.head("model0").coef, mixed)
    regulariser = BTuning(teachers, "model0", dtype=torch.float64)
    found = regulariser(torch.tensor(student), features=features)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_regression_has_an_offset_and_other_widths() -> None:
    rng = np.random.default_rng(8)
    features = {name: rng.normal(size=(70, width)) + 5 for name, width in (("a", 4), ("b", 9))}
    targets = features["a"][:, :2] * 3 + 40 + rng.normal(size=(70, 2))
    teachers = tx.rank(features, targets, keep_coef=True).teachers(k=2)
    assert np.abs(teachers.head("b").offset).min() > 1, "the test would not see it"
    student = rng.normal(size=(70, 9))
    expected = np.mean((teachers.head("b")(student) - teachers.predictive(features)) ** 2)
    regulariser = BTuning(teachers, "b", dtype=torch.float64)
    found = regulariser(torch.tensor(student), features=features)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_what_is_cached_may_be_of_numpy() -> None:
    case = CASES[0]
    teachers, features = teachers_of(case), batch_of(case, torch.float64)
    regulariser = BTuning(teachers, "model0")
    student = torch.tensor(ARRAYS["btuning0__target_batch"])
    arrays = {name: rows.numpy() for name, rows in features.items()}
    expected = regulariser(student, features=features)
    torch.testing.assert_close(regulariser(student, features=arrays), expected)
    torch.testing.assert_close(
        regulariser(student, predictive=teachers.predictive(arrays)), expected
    )


def test_gradients_are_right_and_the_students_only() -> None:
    case = CASES[0]
    regulariser = BTuning(teachers_of(case), "model0", dtype=torch.float64)
    features = {k: v.requires_grad_() for k, v in batch_of(case, torch.float64).items()}
    student = torch.tensor(ARRAYS["btuning0__target_batch"], dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: regulariser(rows, features=features), [student])
    regulariser(student, features=features).backward()
    assert student.grad is not None
    assert student.grad.abs().max() > 0
    assert all(rows.grad is None for rows in features.values())
    assert not list(regulariser.parameters()), "the heads are fixed"


class Teacher(nn.Module):
    """With everything that training mode would change."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(6, n_features)
        self.norm, self.drop = nn.BatchNorm1d(n_features), nn.Dropout(0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.drop(self.norm(self.linear(inputs)))


def setting() -> tuple[TeacherEnsemble, dict[str, Teacher], torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    inputs, labels = torch.randn(60, 6), torch.arange(60) % 3
    inputs[:, 0] += labels
    models = {f"m{width}": Teacher(width) for width in (5, 7, 9)}
    with torch.no_grad():
        features = {name: model.eval()(inputs) for name, model in models.items()}
    ranking = tx.rank(features, labels, keep_coef=True)
    return ranking.teachers(k=2), models, inputs, labels


def test_teachers_stay_as_they_are() -> None:
    teachers, models, inputs, _ = setting()
    student = copy.deepcopy(models["m5"]).train()
    for model in models.values():
        model.train()
        model.norm.eval()  # a mixed state is given back as it was
    before = copy.deepcopy({name: model.state_dict() for name, model in models.items()})
    regulariser = BTuning(teachers, "m5", models)
    optimiser = torch.optim.SGD(student.parameters(), lr=1e-3)
    first = None
    for _ in range(60):
        optimiser.zero_grad()
        loss = regulariser.penalty(student.norm(student.linear(inputs)), inputs)
        first = loss.item() if first is None else first
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.5 * first, "it can be minimised"
    for name, model in models.items():
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name][key], rtol=0, atol=0)
        assert all(parameter.grad is None for parameter in model.parameters())
        assert model.training
        assert not model.norm.training
    assert not [key for key in regulariser.state_dict() if "linear" in key]


def test_a_method_of_a_teacher_runs_in_evaluation_mode_too() -> None:
    teachers, models, inputs, _ = setting()
    with torch.no_grad():
        features = {name: models[name].eval()(inputs) for name in teachers.names}
    for model in models.values():
        model.train()
    before = copy.deepcopy({name: model.state_dict() for name, model in models.items()})
    regulariser = BTuning(teachers, "m5", {name: models[name].forward for name in teachers.names})
    expected = regulariser.predictive(features=features)
    torch.testing.assert_close(regulariser.predictive(inputs), expected)
    for name, model in models.items():
        assert all(module.training for module in model.modules())
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name][key], rtol=0, atol=0)


@pytest.mark.parametrize("given", ["module", "method"])
def test_a_student_teaches_with_the_weights_it_had(given: str) -> None:
    teachers, models, inputs, _ = setting()
    student = teachers.names[0]
    given_models: dict[str, Any] = {
        name: model if given == "module" else model.forward for name, model in models.items()
    }
    regulariser = BTuning(teachers, student, given_models)
    expected = regulariser.predictive(inputs)
    with torch.no_grad():
        models[student].linear.weight.add_(1)
    torch.testing.assert_close(regulariser.predictive(inputs), expected, rtol=0, atol=0)


def test_a_frozen_student_is_not_copied() -> None:
    teachers, models, _, _ = setting()
    student = teachers.names[0]
    models[student].requires_grad_(False)
    regulariser = BTuning(teachers, student, models)
    assert regulariser._models[student] is models[student]


def test_under_autocast_it_keeps_its_precision() -> None:
    teachers, models, inputs, _ = setting()
    regulariser = BTuning(teachers, "m5", models)
    features = models["m5"].eval()(inputs).detach()
    plain = regulariser(features, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = regulariser(features, predictive=regulariser.predictive(inputs))
        half = regulariser(features.bfloat16(), predictive=regulariser.predictive(inputs))
    assert mixed.dtype == torch.float32
    # The teachers themselves ran in bfloat16, with 8 bits of mantissa.
    torch.testing.assert_close(mixed, plain, rtol=2e-2, atol=1e-3)
    torch.testing.assert_close(half, plain, rtol=2e-2, atol=1e-3)


def test_its_memory_is_that_of_the_outputs() -> None:
    n_batch, width, n_classes = 64, 4096, 3
    rng = np.random.default_rng(0)
    heads = {k: Head(0.0, rng.normal(size=(n_classes, width)), np.zeros(n_classes)) for k in "ab"}
    regulariser = BTuning(TeacherEnsemble(heads, ["a", "b"]), "a")
    student = torch.randn(n_batch, width, requires_grad=True)
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    mixed = torch.zeros(n_batch, n_classes)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        regulariser(student, predictive=mixed)
    kept = [size for size in sizes if size not in (n_classes * width, n_batch * width)]
    assert sum(kept) <= 4 * n_batch * n_classes, "beside the features and the fixed head"


def test_bad_input_is_named() -> None:
    teachers, models, inputs, _ = setting()
    first, second = teachers.names
    regulariser = BTuning(teachers, "m5")
    student = torch.randn(60, 5)
    features = {name: models[name].eval()(inputs).detach() for name in teachers.names}
    broken = features[second].clone()
    broken[3, 1] = torch.inf
    unknown = torch.full((60, 3), torch.nan)
    none = {name: rows[:0] for name, rows in features.items()}
    cases: list[tuple[str, Any]] = [
        ("no rows", lambda: regulariser(student[:0], features=none)),
        ("row 0 of predictive holds NaN", lambda: regulariser(student, predictive=unknown)),
        ("exactly one", lambda: regulariser(student)),
        ("exactly one", lambda: regulariser(student, inputs, features=features)),
        ("no models to run", lambda: regulariser(student, inputs)),
        ("nothing of the teacher", lambda: regulariser(student, features={first: features[first]})),
        (
            "59 rows",
            lambda: regulariser(student, features={**features, second: features[second][1:]}),
        ),
        ("same batch", lambda: regulariser(student[1:], features=features)),
        ("n_batch, 5", lambda: regulariser(torch.randn(60, 4), features=features)),
        (
            f"row 3 of the features of '{second}' holds NaN",
            lambda: regulariser(student, features={**features, second: broken}),
        ),
        ("not fitted to 'm6'", lambda: BTuning(teachers, "m6")),
        ("models has no", lambda: BTuning(teachers, "m5", {})),
        ("tradeoff is -1", lambda: BTuning(teachers, "m5", tradeoff=-1)),
    ]
    for problem, call in cases:
        with pytest.raises(tx.DataError, match=problem):
            call()
    wrong: list[tuple[str, Any]] = [
        ("TeacherEnsemble", lambda: BTuning("teachers", "m5")),  # type: ignore[arg-type]
        ("must be a number", lambda: BTuning(teachers, "m5", tradeoff="big")),  # type: ignore[arg-type]
        ("floating", lambda: BTuning(teachers, "m5", dtype=torch.int64)),
        ("models must be", lambda: BTuning(teachers, "m5", ["m5"])),  # type: ignore[arg-type]
        ("cannot be called", lambda: BTuning(teachers, "m5", dict.fromkeys(teachers.names))),  # type: ignore[arg-type]
        ("features must be", lambda: regulariser(student, features=list(features))),
        ("must be a Tensor, got tuple", lambda: regulariser((student,), features=features)),
    ]
    for problem, call in wrong:
        with pytest.raises(tx.DtypeError, match=problem):
            call()
