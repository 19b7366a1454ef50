"""What the pages that follow from the code say beside it: titles, traps, what extras are for."""

from __future__ import annotations

#: Packages that the build need not have: their names are documented without them.
MOCKED = ("torch", "torchmetrics", "torchvision", "transformers", "timm")

#: Title in the reference of the names that ``transferability`` itself has, by where they live.
ROOMS = {
    "_ranking": "Rankings",
    "_sweep": "Models that are run",
    "_scoring": "Scores",
    "_metric": "Scores",
    "_stats": "Statistics",
    "_uncertainty": "Uncertainty",
    "_racing": "Races",
    "agreement": "Agreement with the truth",
    "models": "Models that are run",
    "_data": "Models that are run",
    "sklearn": "Estimators",
    "_util": "Threads",
    "_core": "Threads",
}

#: What goes wrong with a metric: its trap, for people who do not know it yet.
TRAPS = {
    "logme": "Scores of different rows or labels are not comparable, and no value is good by "
    "itself. With fewer rows than features part of the fit is chance: compare with `reference=5`. "
    "Units of single columns matter unless `standardize=True`.",
    "h_score": "It grows with D/N, and is C − 1 for every model once N ≤ D. Then it says nothing "
    "about the models.",
    "regularized_h_score": "The shrinkage depends on the number of rows, so values at different "
    "numbers of rows are not comparable.",
    "lin_mse": "Without `ridge=` the error is 0 for every model with N ≤ D. The ridge is in the "
    "units of the features.",
    "lab_mse": "It sees the outputs of the source model, not its features: a model whose classes "
    "are unrelated to yours looks worse than its features are.",
    "lfc": "Features are not centred, so a common offset, or a few directions of large variance, "
    "decide.",
    "cka": 'The biased estimate (`estimator="biased"`) is far above 0 for independent data with '
    "few rows; the default is unbiased.",
    "nce": "More source classes give higher values by chance. It orders target tasks for one "
    "model, not models.",
    "leep": "It judges the source model's head, not its features. Logits are refused unless "
    "`from_logits=True`.",
    "lda": "It is a training score: with N near D every model is nearly perfect.",
    "ridge_probe": "It is an accuracy, so its noise is √(p(1 − p)/N): about 1.6 points at 800 rows "
    'and 70 %. Rows of one video or patient need `leave_out="group"`.',
    "sfda": "It is a training score: with N near D every model is nearly perfect.",
    "emms": "With one-hot labels as the only view it is a linear regression on them. With N ≤ D "
    "the fit is perfect unless `ridge=` is given.",
    "transrate": "Values depend on the scale of the features by default, and the variants are not "
    "comparable with each other. An independent study often found the order inverted.",
    "gbc": "Classes with few rows have nearly no overlap in many dimensions: compute it with "
    '`covariance="diagonal"` too.',
    "knn": "Time grows with N². Columns of large scale dominate the distances; "
    '`metric="cosine"` looks at directions only.',
    "parc": "It reads at most 500 rows, chosen by `seed`; small differences change with the seed.",
    "energy": "It reads no labels, and grows with the scale and width of the features.",
    "ncti": "It is scaled over the models of a ranking: adding a model changes all values.",
    "alpha_req": "No evidence supports ranking models of different architectures by it.",
    "effective_rank": "Three conventions with different values are in use, and N rows bound it by "
    "N. No evidence supports ranking models of different architectures by it.",
    "lidar": "Rows must be augmented views of samples; with class labels in their place it is "
    "another number.",
    "n_leep": "The mixture is fitted from a random start: average over seeds.",
    "pactran": "It expects features of unit scale: where scales differ, so does the meaning of its "
    "prior. On `glyph_greek` it puts a model with features of zeros first.",
    "participation_ratio": "No evidence supports ranking models of different architectures by it.",
}

#: Classes of other packages whose members are theirs, and members that they add to ours.
STRANGERS = "BaseEstimator, ClassifierMixin, RegressorMixin, MultiOutputMixin, Module, object"
NOT_OURS = (
    "get_metadata_routing, get_params, set_params, set_fit_request, set_partial_fit_request, "
    "set_predict_request, set_score_request"
)

#: What an extra is for.
EXTRAS = {
    "sklearn": "`n_leep`, `pactran`; `tx.LogMEClassifier` and the other estimators",
    "progress": "progress bars outside of notebooks",
    "stats": "`ranking.evaluate`, forecasts of learning curves",
    "io": "features in parquet, Arrow, safetensors and HDF5 files",
    "dask": "statistics and rankings on a cluster",
    "plot": "plots",
    "torch": "features at layers of a running torch model; B-Tuning",
    "hub": "models by name: timm, torchvision, transformers, sentence-transformers, ONNX",
    "audio": "sounds: WAV, FLAC, OGG and MP3 files",
    "serve": "the HTTP service",
    "all": "all of the above",
}

#: What a public constant holds; its page lists the values.
CONSTANTS = {
    "transferability.forecast.FORMS": "Names of the laws that `forecast.fit` takes.",
    "transferability.models.SCHEMES": "Sources of models by the scheme of their names.",
    "transferability.torch.POOLS": "Poolings of tokens and maps by name, with what each does.",
}

#: Pages outside of docs/ by the name of their copy.
PROJECT = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "architecture": "ARCHITECTURE.md",
    "security": "SECURITY.md",
    "threats": "THREATS.md",
    "example_data": "examples/data/README.md",
}

#: The start of names in code, and what it stands for.
PREFIXES = {
    "tx.": "transferability.",
    "tf.": "transferability.forecast.",
    "ranking.": "transferability.Ranking.",
    "stats.": "transferability.Stats.",
    "compat.": "transferability.compat.",
    "transferability.": "transferability.",
}
#: Words that are also something else in prose.
COMMON = {"score", "rank", "energy"}
