"""The command line and the service speak of their own options: no message gives Python advice.

Every text of the package that may be a message is read from its source, translated as each command
that can print it does, and searched for Python: arguments with values, and calls.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import transferability as tx
from transferability._metric.registry import metric_specs
from transferability._util.words import OF_ARRAYS
from transferability.cli import main
from transferability.cli._models import MODEL_OPTIONS
from transferability.cli._words import PHRASES, Words
from transferability.cli.rank import _FEATURE_OPTIONS
from transferability.serve._words import PHRASES as OF_SERVICE
from transferability.serve._words import reword as reword_answer

PACKAGE = Path(tx.__file__).parent
#: The remedies that the binding crate adds to messages of the core, which names no Python.
BINDING = Path(__file__).parents[2] / "python" / "src" / "errors.rs"

Command = tuple[str, tuple[str, ...]]  # its name, and the options that do not go with its arguments
FEATURES: Command = ("rank", MODEL_OPTIONS)
MODELS: Command = ("rank", _FEATURE_OPTIONS)
SCORE, STATS, FORECAST, HEALTH, EVAL, LAYERS = (
    (name, ()) for name in ("score", "stats", "forecast", "health", "eval", "layers")
)
#: The commands that print the messages of a room of the package.
REACHED: dict[str, tuple[Command, ...]] = {
    "_util": (FEATURES, MODELS, SCORE),
    "_inputs": (FEATURES, MODELS, SCORE, STATS),
    "_metric": (FEATURES, MODELS, SCORE),
    "_stats": (FEATURES, SCORE, STATS),
    "_scoring": (FEATURES, SCORE),
    "_ranking": (FEATURES, MODELS),
    "_racing": (FEATURES, MODELS),
    "_uncertainty": (FEATURES, MODELS),
    "_data": (MODELS,),
    "_sweep": (MODELS,),
    "io": (FEATURES, SCORE, STATS),
    "metrics": (FEATURES, SCORE),
    "health": (HEALTH,),
    "agreement": (EVAL,),
    "forecast": (FORECAST,),
    "models": (MODELS, LAYERS),
    "torch": (MODELS,),
    "report": (FEATURES, MODELS),
    "binding": (FEATURES, SCORE),
}
#: Rooms whose messages no command prints, or that are the commands.
NOT_REACHED = {
    "__init__.py", "__main__.py", "_core.pyi", "cli", "compat", "covariance", "dask", "errors.py",
    "plot", "serve", "sklearn", "tuning",
}  # fmt: skip
#: The rooms of which a worker of the service returns messages.
OF_WORKERS = ("_inputs", "_metric", "_stats", "_scoring", "metrics", "binding")
#: Texts of these about arguments that no request has.
NOT_SENT = ("metrics is a mapping", "aggregate=", "leave_out is 'group', and groups has")
#: Texts that no command prints, by what they concern; beginnings of regular expressions.
OF_PYTHON = {
    "objects and arrays in memory, which no file holds": (
        r".* is a (polars LazyFrame|masked array|sparse matrix|lazy frame of polars)",
        r"; rows with named values are a table", r"ignore (is|has) ",
        r", for example with np\.load", r"; call update\(features, labels\) first",
        r"pass torch\.stack", r".*pool each to one vector first, for example by its mean",
        r"convert (them|each row) with ", r"pass list\(X\)",
        r"read the numbers from them first", r"make a table of it first", r"X; pass X if the",
        r"X; put them in one order",
        r"the rows of X\.index", r"race is ", r"X has no scores by X; give ranking\.evaluate",
        r"labels (hold|have dtype) .*names=", r"a Score has no attribute",
        r"module 'X' has no attribute", r".* a dict of (columns|tensors)",
        r".*give bags as a tuple", r".*is no torch module; ask it for",
    ),
    "reprs": (r"Score\(", r"Stats\(", r"FeatureSource\(", r"X\('X', kind=", r", n_classes=",
              r"X -> X, tradeoff="),
    "functions that have no command": (
        r"there are X ensembles", r"combine=", r"top needs", r".*call transferability\.score with",
        r"per_class needs", r"the coding rates of", r"rounding may change the covariance",
        r"these are statistics of X: the accuracy", r"forecasts must map", r"some curves increase",
        r"X needs X, and a curve is", r"values is None", r".*fit\(X\) of what curve",
        r"X is a line in log10 of opc",
        r"these statistics hold no classes; update", r".*nan=\"omit\"", r"use extract in a with",
        r"features were not kept; use extract", r"target holds class", r"model must be a torch",
        r"give \{\}=TransferabilityMetric", r"average=True makes a layer",
    ),
    "authors of metrics and of models": (
        r".*raise transferability\.DataError", r"it must name a function that transferability",
        r"the native module has no metric", r".*enable_nested_tensor=False",
        r"torch\.compile failed",
        r".*save the tensors again with torch\.save", r"; if its batch is fixed inside",
    ),
    "text files of labels, which have no such options": (
        r"pass quoting=", r"pass (its )?encoding=",
    ),
    "mathematics, HTML and code": (
        r"dict\[str, Any\]", r"X has no number for .*\(X=False\)",
        r".*\bmin\([\w -]+, \w+\)", r".*'quantile\(q\)' with q", r"\s*<", r" (class|value)=",
        r"import json, sys", r"\\b\(one", r"the effective rank by convention",
    ),
}  # fmt: skip
#: Of these the commands do print the texts above, so there they must be translated.
PRINTED = {"_util": (MODELS,)}

_VALUE = r"'|\"|\[|\.\.\.|True|False|None|\d|(?=[ ,;.)]|$)"
ADVICE = re.compile(
    rf"(?<![\w?&.\-/:'\"=@])(?<!-o )[a-z][a-z_]*=(?!=)(?:{_VALUE})"  # an argument with its value
    r"|\b[\w.]*[a-z_]\w*\((?!s\)|es\))[^)]*\)"  # a call
    r"|\b(?:np|torch|pandas|transferability)\.[a-z_]+\b(?!-)"
    r"|(?<![\w'\"])(?:None|True|False)(?![\w'\"])|\battributes?\b|\b(?:dict|tuple)s?\b"
)


@cache
def messages() -> tuple[tuple[str, int, str], ...]:
    """Return the file, line and text of every literal with a blank, without docstrings."""
    of_python = (
        (path.relative_to(PACKAGE).as_posix(), line, text)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "_util" / "words.py"
        for line, text in read_texts(ast.parse(path.read_text("utf-8")))
    )
    remedies = enumerate(BINDING.read_text("utf-8").splitlines(), start=1)
    of_binding = (
        ("binding/errors.rs", line, text.replace("{metric}", "knn"))
        for line, code in remedies
        if not code.strip().startswith("//")
        for text in re.findall(r'"([^"]*)"', code)
    )
    return tuple(one for one in (*of_python, *of_binding) if " " in one[2])


def read_texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Iterate over the literals of a file; placeholders are X, quoted, or 7 after an argument."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            inner.add(body[0].value)
        if isinstance(node, ast.JoinedStr):
            inner |= {part for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = ""
            for part in node.values:
                if isinstance(part, ast.Constant):
                    text += str(part.value)
                else:
                    shown = "7" if re.search(r"\b[a-z_]+=$", text) else "X"
                    text += "'X'" if getattr(part, "conversion", 0) == ord("r") else shown
            yield node.lineno, text
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.lineno, node.value


def translate(command: Command, text: str) -> str:
    name, foreign = command
    return Words(main.commands[name].params, foreign)(text)


def is_exempt(text: str, printed: bool) -> bool:
    """Return whether no command prints a text; `printed` for what reads texts."""
    left_out = "text files of labels, which have no such options" if printed else ""
    kinds = [starts for kind, starts in OF_PYTHON.items() if kind != left_out]
    return any(re.match(start, text, re.S) for starts in kinds for start in starts)


def test_every_room_is_listed() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.name[:2] != "__" or path.is_file()}
    rooms -= {"py.typed", "_core.abi3.so"}
    assert rooms - REACHED.keys() <= NOT_REACHED
    assert not REACHED.keys() & NOT_REACHED


@pytest.mark.parametrize("room", REACHED)
def test_no_message_of_a_command_gives_python_advice(room: str) -> None:
    wrong = []
    for file, line, text in messages():
        if file.partition("/")[0] != room:
            continue
        for command in REACHED[room]:
            shown = translate(command, text)
            printed = command in PRINTED.get(room, ())
            if (found := ADVICE.search(shown)) and not is_exempt(text, printed):
                wrong.append(f"{file}:{line}, {command[0]}: {found[0]!r} in {shown!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", OF_WORKERS)
def test_no_message_of_the_service_gives_python_advice(room: str) -> None:
    wrong = []
    for file, line, text in messages():
        if file.partition("/")[0] == room:
            shown = reword_answer(text)
            assert reword_answer(shown) == shown
            exempt = is_exempt(text, False) or any(re.match(start, text) for start in NOT_SENT)
            if (found := ADVICE.search(shown)) and not exempt:
                wrong.append(f"{file}:{line}: {found[0]!r} in {shown!r}")
    assert not wrong, "\n".join(wrong)


def test_a_translation_is_final() -> None:
    """Messages pass through several hands, and a second translation must change nothing."""
    for room, commands in REACHED.items():
        for file, _, text in messages():
            if file.partition("/")[0] == room:
                for command in commands:
                    shown = translate(command, text)
                    assert translate(command, shown) == shown


def test_the_search_finds_python_advice() -> None:
    texts = ("give True or False", "choose None, 'row'", "as attributes", "a dict of arrays")
    assert all(ADVICE.search(text) for text in texts)
    assert not ADVICE.search("quoted 'None' and true or none")
    texts = ("pass task='regression' then", "call rank(models)", "with np.load", "give key=", "k=3")
    assert all(ADVICE.search(text) for text in texts)
    assert not ADVICE.search("give --task regression or ?weights=none for row(s) of -o k=10")


@pytest.mark.parametrize("pattern", dict([*OF_ARRAYS, *PHRASES, *OF_SERVICE]))
def test_every_phrase_is_one_of_a_message(pattern: str) -> None:
    assert any(re.search(pattern, text.replace("{name}", "knn")) for _, _, text in messages())


@pytest.mark.parametrize("starts", [start for starts in OF_PYTHON.values() for start in starts])
def test_every_exemption_is_one_of_a_message(starts: str) -> None:
    assert any(re.match(starts, text, re.S) for _, _, text in messages())


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        (FEATURES, "pass task='regression' if", "pass --task regression if"),
        (FEATURES, "give groups, or leave_out='row'", "give --groups, or --leave-out row"),
        (FEATURES, "leave_out is 'group'", "--leave-out is 'group'"),
        (FEATURES, "normalize='entropy_ratio'", "-o normalize=entropy_ratio"),
        (FEATURES, "aggregate='min'", "--aggregate min"),
        (FEATURES, "or neither (class_scatters=True)", "or neither (stats --class-scatters)"),
        (FEATURES, "for example key='f*'", "for example FILE:'f*'"),
        (FEATURES, "or by key=", "or by FILE:NAME"),
        (FEATURES, "say label_column='y', or", "say --labels FILE:y, or"),
        (FEATURES, "or pass intercept=False", "or pass --no-intercept"),
        (FEATURES, 'method="svd" on', "--method svd on"),
        (MODELS, 'method="svd" on', "an SVD on"),
        (MODELS, "see also aggregate='last'", "see also --layer-choice last"),
        (MODELS, "say which with label=", "say which with --label-column"),
        (MODELS, "say which with text=", "say which with --text-column"),
        (MODELS, "pass isolate=False", "pass --no-isolate"),
        (MODELS, "with cache=False", "with --no-cache"),
        (MODELS, "pass keep_features=True", "pass --keep-features"),
        (MODELS, "parts by bag=", "parts by --bag"),
        (MODELS, "window=512 averages", "--window 512 averages"),
        (MODELS, "pool=['cls', 'mean'] fit", "--pool cls,mean fit"),
        (MODELS, "pass encoding='latin-1' or", "pass --encoding latin-1 or"),
        (MODELS, "give ?weights=none or ?checkpoint=", "give ?weights=none or ?checkpoint="),
        (MODELS, "/data/task='x'/max_length.csv", "/data/task='x'/max_length.csv"),
        (SCORE, "give labels=", "give LABELS"),
        (SCORE, "column named (label_column='y')", "column named (LABELS FILE:y)"),
        (STATS, "by key= or label_column=", "by --key or --label-column"),
        (STATS, "of every class (class_scatters=True)", "of every class (--class-scatters)"),
        (FORECAST, "give limit=100, or limit=None", "give --limit 100, or --limit none"),
        (FORECAST, "give direction='decreasing'", "give --direction decreasing"),
        (SCORE, "pass n_threads=2", "pass --threads 2"),
    ],
)
def test_arguments_become_options(command: Command, text: str, shown: str) -> None:
    assert translate(command, text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("choose task='regression' for", "choose task=regression for"),
        ("pass from_logits=True if", 'pass options={"from_logits": true} if'),
        ("choose True, False or 'auto'", "choose true, false or 'auto'"),
        ("is None", "is null"),
        ("call transferability.knn with features and labels", OF_ARRAYS[0][1]),
        (
            "make them with Stats(class_scatters=True)",
            'create the session with "class_scatters": true',
        ),
    ],
)
def test_answers_speak_of_requests(text: str, shown: str) -> None:
    assert reword_answer(text) == shown


def test_options_of_metrics_are_those_of_all_metrics() -> None:
    names = {name for spec in metric_specs().values() for name in spec.option_names}
    own = {str(param.name) for param in main.commands["score"].params}
    assert names - own
    for name in names - own - {"key", "label_column", "n_threads"}:
        assert translate(SCORE, f"give {name}=7") == f"give -o {name}=7"
