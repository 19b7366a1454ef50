"""``transferability serve``: what it computes, refuses and survives, by requests to a real one."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_service import TOKEN, Service, arrow, npy, npz
from odd_arrays import beyond_unicode

import transferability as tx

for needed in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(needed)

if not sys.platform.startswith("linux"):
    pytest.skip("finds workers in /proc", allow_module_level=True)

NPY, NPZ = "application/x-npy", "application/x-npz"
STREAM, STATS = "application/vnd.apache.arrow.stream", "application/x-transferability-stats"

RNG = np.random.default_rng(5)
X = RNG.normal(size=(120, 7))
Y = np.array([-3, 4, 70])[X[:, :3].argmax(axis=1)]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service with a token, of which each test may use the two workers."""
    running = Service("--workers", "2", "--max-body", "4000000", token=TOKEN)
    yield running
    assert running.terminate() == 0
    assert not [line for line in running.logs if line["level"] == "error"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without a token, with one worker and limits that are soon reached."""
    limits = {
        **{"max-samples": 100, "max-features": 20, "max-classes": 5, "max-numbers": 1500},
        **{"max-body": 20_000, "max-seconds": 2.5, "body-seconds": 1, "max-queue": 2},
        **{"max-sessions": 3, "session-bytes": 4000, "sessions-bytes": 3500},
        **{"session-seconds": 3, "max-receiving": 3, "spool-bytes": 35_000},
    }
    options = [f"--{name}={value}" for name, value in limits.items()]
    folder = tmp_path_factory.mktemp("spool")
    running = Service("--workers", "1", *options, TMPDIR=str(folder))
    running.folder = folder
    yield running
    assert running.terminate() == 0
    assert [*folder.iterdir()] == []


def tables() -> dict[str, Any]:
    pa = pytest.importorskip("pyarrow")
    wide = {f"f{i}": X[:, i] for i in range(X.shape[1])}
    return {
        "lists": pa.table({"features": [*X], "labels": Y}),
        "columns": pa.table({**wide, "labels": Y}),
    }


# --- scores --------------------------------------------------------------------------------------


def bodies() -> dict[str, tuple[bytes, str]]:
    safetensors = pytest.importorskip("safetensors.numpy")
    both = {"features": X, "labels": Y}
    tabled = tables()
    return {
        "npy": (npy(X, Y), NPY),
        "npy in Fortran order": (npy(np.asfortranarray(X), Y), NPY),
        "npy of big-endian numbers": (npy(X.astype(">f8"), Y.astype(">i2")), NPY),
        "npz": (npz(**both), NPZ),
        "npz, stored": (npz(compressed=False, **both), "application/zip"),
        "safetensors": (safetensors.save(both), "application/x-safetensors"),
        "Arrow, lists": (arrow(tabled["lists"]), STREAM),
        "Arrow, columns": (arrow(tabled["columns"]), f"{STREAM}; charset=binary"),
        "Arrow, compressed": (arrow(tabled["lists"], compression="zstd"), STREAM),
        "Arrow file": (arrow(tabled["columns"], True), "application/vnd.apache.arrow.file"),
    }


@pytest.mark.parametrize("name", bodies())
def test_scores_are_those_of_score_to_the_bit(service: Service, name: str) -> None:
    body, media = bodies()[name]
    answer = service.score(body, "?metrics=logme,+h_score,knn&options=%7B%22k%22:3%7D", media)
    assert answer.status == 200, answer.json
    expected = tx.score(X, Y, ["logme", "h_score", "knn"], k=3)
    assert [*answer.json["scores"]] == [*expected]
    for metric, score in expected.items():
        found = answer.json["scores"][metric]
        assert found["value"] == float(score), metric
        assert found["task"] == score.task


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
def test_other_arguments_of_a_call_are_arrays_of_the_body(service: Service) -> None:
    probs = RNG.dirichlet(np.ones(4), size=len(X))
    found = service.score(npz(source_probs=probs, labels=Y), "?metrics=leep", NPZ).json
    assert found["scores"]["leep"]["value"] == float(tx.leep(probs, Y))
    noisy = X[:, 0] + RNG.normal(size=len(X))
    found = service.score(npz(features=X, targets=noisy), "", NPZ).json
    assert found["scores"]["logme"]["value"] == float(tx.logme(X, noisy))
    assert found["scores"]["logme"]["task"] == "regression"
    views = {"label_embeddings/a": X[:, :2], "label_embeddings/b": X[:, 2:4]}
    found = service.score(npz(features=X, **views), "?metrics=emms", NPZ).json
    named = {name.partition("/")[2]: view for name, view in views.items()}
    assert found["scores"]["emms"]["value"] == float(tx.emms(X, label_embeddings=named))
    words = np.array(["a", "b", "c"])[RNG.integers(0, 3, len(X))]
    found = service.score(npy(X, words)).json
    assert found["scores"]["logme"]["value"] == float(tx.logme(X, words))


def test_every_metric_that_applies_and_why_others_do_not(service: Service) -> None:
    noisy = X[:, 0] + RNG.normal(size=len(X))  # no metric of scikit-learn, whose import is slow
    found = service.score(npy(X, noisy), "?metrics=all").json
    expected = tx.score(X, noisy, "all")
    assert {n: s["value"] for n, s in found["scores"].items()} == dict(expected)
    assert found["skipped"] == expected.skipped


def test_a_diagnostic_needs_no_labels_and_nan_is_null(service: Service) -> None:
    found = service.score(npy(X), "?metrics=effective_rank").json
    assert found["scores"]["effective_rank"]["value"] == float(tx.effective_rank(X))
    found = service.score(npy(X, Y), "?metrics=ncti").json  # defined among models alone
    assert found["scores"]["ncti"]["value"] is None
    probs = RNG.dirichlet(np.ones(3), size=len(X))
    assert service.score(npz(source_probs=probs), "?metrics=leep", NPZ).status == 422


def test_details_are_exact(service: Service) -> None:
    query = "?task=classification&options=%7B%22keep_coef%22:true%7D"
    found = service.score(npy(X, Y), query).json["scores"]["logme"]
    assert np.array_equal(found["details"]["coef"], tx.logme(X, Y, keep_coef=True).coef)


def test_metrics_are_listed(service: Service) -> None:
    listed = service.request("GET", "/v1/metrics").json["metrics"]
    assert {"logme", "h_score", "knn"} <= {metric["name"] for metric in listed}
    assert all(metric["needs"] is not None and metric["tasks"] for metric in listed)


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_accumulates_merges_and_scores(service: Service) -> None:
    first, second = service.create(), service.create(task="classification")
    assert first != second
    path = f"/v1/sessions/{first}"
    for rows in (slice(0, 50), slice(50, 80)):
        answer = service.request("POST", f"{path}/update", npy(X[rows], Y[rows]), NPY)
    assert answer.json["n_samples"] == 80
    assert answer.json["version"] == 2
    other = f"/v1/sessions/{second}"
    service.request("POST", f"{other}/update", npz(features=X[80:], labels=Y[80:]), NPZ)
    state = service.request("GET", f"{other}/state")
    assert tx.Stats.from_bytes(state.body).n_samples == 40
    merged = service.request("POST", f"{path}/merge", state.body, STATS).json
    assert (merged["n_samples"], merged["n_classes"]) == (120, 3)
    expected = tx.Stats().update(X[:50], Y[:50]).update(X[50:80], Y[50:80])
    expected += tx.Stats("classification").update(X[80:], Y[80:])
    found = service.request("POST", f"{path}/score?metrics=logme,h_score").json["scores"]
    assert found["logme"]["value"] == float(expected.logme())
    assert found["h_score"]["value"] == float(expected.h_score())
    state = service.request("GET", f"{path}/state").body
    assert tx.Stats.from_bytes(state).logme() == expected.logme()
    assert service.request("DELETE", path).status == 204
    assert service.request("GET", path).status == 404
    assert service.request("POST", f"{path}/update", npy(X, Y), NPY).status == 404
    service.request("DELETE", other)


def test_sessions_take_weights_and_features_without_labels(service: Service) -> None:
    weighted = f"/v1/sessions/{service.create()}"
    weights = np.arange(len(X)) % 3
    body = npz(features=X, labels=Y, sample_weight=weights)
    answer = service.request("POST", f"{weighted}/update", body, NPZ)
    assert answer.json["n_samples"] == weights.sum()
    bare = f"/v1/sessions/{service.create(task='unlabelled', class_scatters=False)}"
    assert service.request("POST", f"{bare}/update", npy(X), NPY).status == 200
    found = service.request("POST", f"{bare}/score?metrics=effective_rank").json
    expected = tx.Stats("unlabelled").update(X).score("effective_rank")
    assert found["scores"]["effective_rank"]["value"] == float(expected)


def test_frames_match_by_name_in_the_updates_of_a_session(service: Service) -> None:
    table, path = tables()["columns"], f"/v1/sessions/{service.create()}"
    mixed = table.select([*reversed(table.column_names)])
    for half in (table.slice(0, 60), mixed.slice(60)):
        assert service.request("POST", f"{path}/update", arrow(half), STREAM).status == 200
    found = service.request("POST", f"{path}/score").json["scores"]["logme"]["value"]
    expected = tx.Stats().update(X[:60], Y[:60]).update(X[60:], Y[60:]).logme()
    assert np.isclose(found, float(expected), rtol=1e-9)


def test_a_change_that_fails_leaves_the_session_as_it_was(service: Service) -> None:
    path = f"/v1/sessions/{service.create()}"
    service.request("POST", f"{path}/update", npy(X, Y), NPY)
    before = service.request("GET", f"{path}/state").body
    for body, media, change, status in (
        (npy(X[:, :3], Y), NPY, "update", 422),  # other columns
        (npy(X, Y)[:-9], NPY, "update", 400),
        (before[:-1], STATS, "merge", 422),
        (b"no statistics", STATS, "merge", 422),
        (npz(labels=Y), NPZ, "update", 422),
        (npz(features=X, labels=Y, groups=Y), NPZ, "update", 422),
    ):
        answer = service.request("POST", f"{path}/{change}", body, media)
        assert answer.status == status, answer.json
    assert service.request("GET", f"{path}/state").body == before
    assert service.request("GET", path).json["version"] == 1


def test_updates_at_a_time_follow_each_other(service: Service) -> None:
    path = f"/v1/sessions/{service.create()}"
    with ThreadPoolExecutor(8) as threads:
        rows = [slice(i, i + 10) for i in range(0, 120, 10)]
        sent = [
            threads.submit(service.request, "POST", f"{path}/update", npy(X[r], Y[r]), NPY)
            for r in rows
        ]
        assert [future.result().status for future in sent] == [200] * 12
    assert service.request("GET", path).json["version"] == 12
    found = service.request("POST", f"{path}/score").json["scores"]["logme"]["value"]
    assert np.isclose(found, float(tx.logme(X, Y)), rtol=1e-9)


def test_an_empty_session_has_no_state_and_no_score(service: Service) -> None:
    path = f"/v1/sessions/{service.create()}"
    assert service.request("GET", f"{path}/state").json["error"] == "EmptyError"
    assert "no rows yet" in service.request("POST", f"{path}/score").json["detail"]


def test_a_download_counts_as_disk_until_its_end(service: Service) -> None:
    path = f"/v1/sessions/{service.create()}"
    wide = npy(RNG.normal(size=(300, 600)).astype(np.float32), np.arange(300) % 2)
    one = service.request("POST", f"{path}/update", wide, NPY).json["n_bytes"]
    before = service.figure("session_bytes")
    get = f"GET {path}/state HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(get.encode() * 20)  # more than the system buffers
        assert connection.recv(10) == b"HTTP/1.1 2"
        two = service.request("POST", f"{path}/update", wide, NPY).json["n_bytes"]
        assert service.figure("session_bytes") == before + two
    service.wait_for("session_bytes", before + two - one)
    service.request("DELETE", path)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bodies())
def test_truncated_bodies_are_bad_requests(service: Service, name: str) -> None:
    body, media = bodies()[name]
    for length in (0, 1, 7, len(body) // 2, len(body) - 1):
        answer = service.score(body[:length], "", media)
        expected = (422,) if length == 0 and media == NPY else (400,)  # no arrays at all
        assert answer.status in expected, (length, answer.json)


def header(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


def pickled() -> bytes:
    return npy(np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("body", "media", "status", "text"),
    [
        (pickled(), NPY, 422, "pickle"),
        (npz(features=np.array([None, 1])), NPZ, 422, "pickle"),
        (npy(X.astype(complex), Y), NPY, 422, "complex"),
        (npy(X, Y[:-1]), NPY, 422, "119 entries but features has 120 rows"),
        (npy(X[0], Y), NPY, 422, "2-D"),
        (npy(np.where(X > 2, np.nan, X), Y), NPY, 422, "NaN"),
        (npy(X, beyond_unicode(Y)), NPY, 422, "not Unicode"),
        (npy(X, Y, Y), NPY, 400, "after its 2 arrays"),
        (header("(10, 10000000000000)"), NPY, 400, "declares 800000000000000 bytes"),
        (header("(1000000000000000000,)", "|V0"), NPY, 413, "max_samples"),
        (header("(100,)", "|V0"), NPY, 400, "without data"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff{", NPY, 400, "a header of 4294967295 bytes but holds 1"),
        (npz(features=X, labels=Y, groups=Y), NPZ, 422, "unknown array 'groups'"),
        (npz(features=X, label=Y), NPZ, 422, "unknown array 'label'"),
        (b"PK\5\6" + bytes(18), NPZ, 422, "no arrays"),
    ],
)
def test_arrays_that_cannot_be_used(
    service: Service, body: bytes, media: str, status: int, text: str
) -> None:
    answer = service.score(body, "", media)
    assert answer.status == status, answer.json
    assert text in answer.json["detail"]


def test_arrow_that_cannot_be_used(service: Service) -> None:
    """A body that is as its format says is no bad request."""
    pa = pytest.importorskip("pyarrow")
    union = pa.UnionArray.from_sparse(pa.array(np.zeros(120, np.int8)), [pa.array(X[:, 0])])
    for features, error, text in (
        (pa.array([None, *X[1:]]), "DataError", "row 0 is null"),
        (pa.array([X[0, :2], *X[1:]]), "DataError", "row 1 has 7 numbers and row 0 has 2"),
        (union, "DtypeError", "holds sparse_union"),
    ):
        answer = service.score(arrow(pa.table({"features": features, "labels": Y})), "", STREAM)
        assert (answer.status, answer.json["error"]) == (422, error), answer.json
        assert text in answer.json["detail"]
    zone = pa.array(np.arange(120), pa.timestamp("us", tz="Nowhere/City"))
    answer = service.score(arrow(pa.table({"a": zone, "labels": Y})), "", STREAM)
    assert (answer.status, answer.json["error"]) == (422, "DataError"), answer.json
    answer = service.score(arrow(pa.table({})), "", STREAM)
    assert (answer.status, "no columns" in answer.json["detail"]) == (400, True)


def test_a_single_number_is_no_array(service: Service) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    one = {"features": X, "labels": np.array(3)}
    for body, media in ((safetensors.save(one), "application/x-safetensors"), (npz(**one), NPZ)):
        answer = service.score(body, "", media)
        assert (answer.status, "a single number" in answer.json["detail"]) == (422, True)


@pytest.mark.parametrize(
    "shape", ["(-1, 5)", "(-2, -3)", "(0, -5)", "(1.5, 2)", "(1,) * 99", "()", "(2, 3", "[2, 3]"]
)
def test_shapes_that_lie(service: Service, shape: str) -> None:
    assert service.score(header(shape) + bytes(400)).status in (400, 422)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("?metrics=nope", "unknown metric 'nope'"),
        ("?metric=logme", "unknown query parameter 'metric'; choose from metrics, task"),
        ("?task=other", 'task is "other"; choose from auto, classification'),
        ("?metrics=knn&options=%7B%22kk%22:3%7D", "kk"),
        ("?metrics=knn&options=%7B%22k%22:0%7D", "k"),
        ("?options=%7B%22max_bytes%22:1%7D", "options has 'max_bytes', which is a limit"),
        ("?options=%7B%22n_threads%22:1%7D", "options has 'n_threads'"),
        ("?options=%7B%22task%22:%22auto%22%7D", "options has 'task', which is no option"),
        ("?options=%7B%22self%22:1%7D", "options has 'self', which is no option"),
        ("?metrics=,", "unknown metric ''"),
        ("?options=%5B1%5D", "give an object"),
        ("?options=%7B%22k%22:NaN%7D", "NaN is no number of JSON"),
        ("?options=" + "%5B" * 5000, "options is not JSON"),
        ("?metrics=knn&options=%7B%22k%22:" + "[" * 900 + "]" * 900 + "%7D", "8 levels deep"),
        ("?task=auto&task=auto", "task is given twice"),
        ("?metrics=%FF", "percent-encoding"),
        ("?n_threads=4", "unknown query parameter 'n_threads'"),
    ],
)
def test_options_that_cannot_be_used_are_named(service: Service, query: str, text: str) -> None:
    answer = service.score(npy(X, Y), query)
    assert answer.status == 422, answer.json
    assert text in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 422),
        ("{", 400),
        ('{"task": "x"}', 422),
        ('{"task": ["auto"]}', 422),
        ('{"class_scatters": 1}', 422),
        ('{"other": 1}', 422),
        ("[" * 60_000, 400),
        (" " * 70_000, 413),
    ],
)
def test_sessions_that_cannot_be_created(service: Service, body: str, status: int) -> None:
    answer = service.request("POST", "/v1/sessions", body, "application/json")
    assert answer.status == status, answer.json


def test_media_types_and_codings(service: Service) -> None:
    for media in ("text/plain", "application/json", "application/octet-stream", "", "x" * 5000):
        answer = service.score(npy(X, Y), "", media)
        assert answer.status == 415, answer.json
        assert "application/x-npy" in answer.json["detail"]
    answer = service.request("POST", "/v1/score", b"", NPY, Content_Encoding="gzip")
    assert answer.status == 415


def test_paths_and_methods_that_do_not_exist(service: Service) -> None:
    assert service.request("GET", "/v1/scores").status == 404
    assert service.request("GET", "/v1/sessions/none/state").status == 404
    answer = service.request("PUT", "/v1/sessions/x")
    assert answer.status == 405
    assert {*answer.headers["allow"].split(", ")} == {"GET", "HEAD", "DELETE"}


def test_the_token_is_asked_for(service: Service) -> None:
    for given in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}"):
        for path in ("/v1/metrics", "/metrics", "/openapi.json", "/other"):
            answer = service.request("GET", path, Authorization=given)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/healthz", "/readyz"):
        assert service.request("GET", path, Authorization="").status == 200
    assert service.request("GET", "/v1/metrics", Authorization=f"bearer {TOKEN}").status == 200


def test_request_ids_are_returned_if_they_are_well_formed(service: Service) -> None:
    for given, kept in (("a-1.B_2", True), ("a b", False), ("x" * 129, False), ("{}", False)):
        answer = service.request("GET", "/healthz", X_Request_ID=given)
        assert (answer.headers["x-request-id"] == given) == kept
    first, second = (service.request("GET", "/nope").json["request_id"] for _ in range(2))
    assert first != second


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (npy(np.ones((101, 2)), np.ones(101)), "features has 101 rows, and max_samples is 100"),
        (npy(np.ones((30, 21)), np.ones(30)), "features has 21 columns, and max_features is 20"),
        (npy(np.ones((90, 18), np.float32)), "90 x 18 = 1,620 numbers, and max_numbers is 1,500"),
        (npy(X[:30], np.arange(30) % 6), "6 classes, and max_classes is 5"),
    ],
)
def test_arrays_beyond_the_limits(small: Service, body: bytes, text: str) -> None:
    answer = small.score(body)
    assert (answer.status, answer.json["error"]) == (413, "LimitError"), answer.json
    assert text in answer.json["detail"]


def test_bodies_beyond_the_limit(small: Service) -> None:
    answer = small.score(bytes(20_001))
    assert answer.status == 413
    assert "20001 bytes, and max_body is 20,000" in answer.json["detail"]
    pieces = (bytes(7000) for _ in range(4))  # a chunked body declares no length
    answer = small.request("POST", "/v1/score", pieces, NPY, Transfer_Encoding="chunked")
    assert answer.status == 413
    assert "more than 20,000 bytes" in answer.json["detail"]
    chunked = iter([npy(X[:50], Y[:50])])
    answer = small.request("POST", "/v1/score", chunked, NPY, Transfer_Encoding="chunked")
    assert answer.json["scores"]["logme"]["value"] == float(tx.logme(X[:50], Y[:50]))
    sent = {"Expect": "100-continue", "Content-Length": "99999999"}
    connection = small.connect()
    connection.request("POST", "/v1/score", headers={**sent, "Content-Type": NPY})
    assert connection.getresponse().status == 413  # without waiting for the body
    connection.close()


def bomb(members: int = 1, method: int = zipfile.ZIP_DEFLATED, size: int = 15_000_000) -> bytes:
    buffer = io.BytesIO()
    data = header(f"({size // 8},)") + bytes(size)
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for member in range(members):
            archive.writestr("features.npy" if not member else f"x{member}.npy", data)
    return buffer.getvalue()


def test_zip_bombs(small: Service, service: Service) -> None:
    body = bomb()
    assert len(body) < 20_000
    answer = small.score(body, "", NPZ)
    assert answer.status == 413
    assert "unpacked" in answer.json["detail"]
    lies = body.replace(struct.pack("<I", len(header("(1875000,)")) + 15_000_000), b"\0\4\0\0")
    assert lies != body  # both sizes say 1,024
    assert small.score(lies, "", NPZ).status == 400
    assert small.score(bomb(method=zipfile.ZIP_BZIP2, size=800), "", NPZ).status == 400
    many = bomb(20_000, zipfile.ZIP_STORED, 0)  # a directory of a megabyte
    assert len(many) < 4_000_000
    answer = service.score(many, "", NPZ)
    assert answer.status == 413
    assert "directory" in answer.json["detail"]
    pa = pytest.importorskip("pyarrow")
    zeros = pa.table({"features": pa.FixedSizeListArray.from_arrays(np.zeros(4_000_000), 10)})
    answer = small.score(arrow(zeros.combine_chunks(), compression="zstd"), "", STREAM)
    assert answer.status == 413, answer.json
    x = np.zeros(1000)
    body = arrow(pa.table({f"f{i}": x for i in range(2)}), compression="zstd")
    lies = body.replace(struct.pack("<q", 800), struct.pack("<q", 1 << 42))  # of 100 rows
    assert lies != body
    answer = service.score(lies, "", STREAM)
    assert answer.status == 413, answer.json
    assert "more memory when unpacked" in answer.json["detail"]


def test_arrow_bodies_that_lie_about_offsets(service: Service) -> None:
    pa = pytest.importorskip("pyarrow")
    lists = pa.ListArray.from_arrays(pa.array([0, 5, 10], pa.int32()), np.ones(10))
    body = arrow(pa.table({"features": lists}))
    before, after = struct.pack("<3i", 0, 5, 10), struct.pack("<3i", 0, 5, 10**6)
    assert before in body
    assert service.score(body.replace(before, after), "", STREAM).status == 400


def test_sessions_beyond_the_limits(small: Service) -> None:
    sessions = [small.create() for _ in range(3)]
    answer = small.request("POST", "/v1/sessions")
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    paths = [f"/v1/sessions/{identity}" for identity in sessions]
    body = npy(X[:60], Y[:60])
    assert small.request("POST", f"{paths[0]}/update", body, NPY).status == 200
    wide = npy(RNG.normal(size=(70, 20)), np.arange(70) % 2)
    answer = small.request("POST", f"{paths[1]}/update", wide, NPY)
    assert (answer.status, "session_bytes" in answer.json["detail"]) == (413, True)
    many = npy(X[:40], np.arange(40) % 6)
    answer = small.request("POST", f"{paths[1]}/update", many, NPY)
    assert (answer.status, "max_classes" in answer.json["detail"]) == (413, True)
    targets = RNG.normal(size=(40, 6)).round(1)
    answer = small.request("POST", f"{paths[1]}/update", npy(X[:40], targets), NPY)
    assert (answer.status, "6 columns of targets" in answer.json["detail"]) == (413, True)
    state = tx.Stats().update(X[:40, :2], targets).to_bytes()
    answer = small.request("POST", f"{paths[1]}/merge", state, STATS)
    assert (answer.status, "max_classes is 5" in answer.json["detail"]) == (413, True)
    last = npy(RNG.normal(size=(60, 12)), Y[:60])
    statuses = [small.request("POST", f"{path}/update", last, NPY).status for path in paths[1:]]
    assert statuses == [200, 429], small.figure("session_bytes")
    assert small.figure("session_bytes") <= 3500
    small.wait_for("sessions", 0, 10)  # they expire
    assert small.figure("session_bytes") == 0
    (folder,) = small.folder.iterdir()
    assert [*folder.iterdir()] == []  # neither of sessions nor of refused changes
    assert small.request("GET", paths[0]).status == 404


def test_slow_bodies_and_heads(small: Service) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
            b"Content-Type: application/x-npy\r\n\r\nabc"
        )
        start = time.monotonic()
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert 0.9 < time.monotonic() - start < 10
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
        answer = b""
        while chunk := connection.recv(4096):  # one answer, and the end
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1


def test_bodies_that_are_received_at_a_time(small: Service) -> None:
    head = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    slow = [socket.create_connection(("127.0.0.1", small.port), timeout=20) for _ in range(3)]
    for connection in slow:
        connection.sendall(head + b"Content-Type: application/x-npy\r\n\r\n")
    time.sleep(0.1)
    answer = small.score(npy(X[:50], Y[:50]))
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    small.wait_for("receiving", 0)  # they were told 408
    for connection in slow:
        connection.close()
    assert small.score(npy(X[:50], Y[:50])).status == 200
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
        connection.sendall(
            head.replace(b"9", b"19999") + b"Content-Type: application/x-npy\r\n\r\n"
        )
        connection.sendall(bytes(19_000))
        time.sleep(0.1)
        answer = small.score(bytes(18_000))
        assert (answer.status, "spool_bytes" in answer.json["detail"]) == (429, True)
    small.wait_for("receiving", 0)


def test_changes_that_wait_for_others_of_their_session(small: Service) -> None:
    small.wait_for("workers", 1)
    path = f"/v1/sessions/{small.create()}/update"
    (worker,) = small.workers()
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(3) as threads:
        body = npy(X[:20], Y[:20])
        sent = [threads.submit(small.request, "POST", path, body, NPY) for _ in range(3)]
        small.wait_for("waiting_changes", 2)
        answer = small.request("POST", path, body, NPY)
        assert (answer.status, "changes wait" in answer.json["detail"]) == (429, True)
        os.kill(worker, signal.SIGCONT)
        assert [future.result().status for future in sent] == [200] * 3


def test_a_foreign_host_is_refused_without_a_token(small: Service) -> None:
    for host, status in (("localhost", 200), ("LOCALHOST:1", 200), ("example.org", 421), ("", 421)):
        assert small.request("GET", "/v1/metrics", Host=host).status == status
    assert small.request("GET", "/healthz", Host="10.0.0.7:8000").status == 200  # a probe


# --- workers -------------------------------------------------------------------------------------


def test_a_computation_that_takes_too_long_is_stopped(small: Service) -> None:
    small.wait_for("workers", 1)
    lost = small.figure("workers_lost")
    (worker,) = small.workers()
    os.kill(worker, signal.SIGSTOP)
    start = time.monotonic()
    answer = small.score(npy(X[:50], Y[:50]))
    assert (answer.status, answer.json["error"]) == (504, "TimeoutError")
    assert 2.4 < time.monotonic() - start < 15
    small.wait_for("workers_lost", lost + 1)
    small.wait_for("workers", 1)
    assert small.workers() != [worker]
    assert small.score(npy(X[:50], Y[:50])).status == 200


def test_a_full_queue_says_when_to_try_again(small: Service) -> None:
    small.wait_for("workers", 1)
    (worker,) = small.workers()
    os.kill(worker, signal.SIGSTOP)
    body = npy(X[:50], Y[:50])
    with ThreadPoolExecutor(3) as threads:
        sent = [threads.submit(small.score, body) for _ in range(3)]
        small.wait_for("queue_length", 2)
        answer = small.score(body)
        assert (answer.status, answer.json["error"]) == (429, "BusyError")
        assert int(answer.headers["retry-after"]) >= 1
        os.kill(worker, signal.SIGCONT)
        assert [future.result().status for future in sent] == [200] * 3


def test_a_killed_worker_loses_only_its_request(service: Service) -> None:
    path = f"/v1/sessions/{service.create()}"
    assert service.request("POST", f"{path}/update", npy(X, Y), NPY).status == 200
    service.wait_for("workers", 2)
    lost = service.figure("workers_lost")
    workers = service.workers()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(6) as threads:
        sent = [threads.submit(service.score, npy(X, Y)) for _ in range(5)]
        sent.append(threads.submit(service.request, "POST", f"{path}/update", npy(X, Y), NPY))
        service.wait_for("queue_length", 4)
        os.kill(workers[0], signal.SIGKILL)
        os.kill(workers[1], signal.SIGCONT)
        answers = [future.result() for future in sent]
    assert sorted(answer.status for answer in answers) == [200] * 5 + [503]
    (failed,) = (answer for answer in answers if answer.status == 503)
    assert (failed.json["error"], failed.headers["retry-after"]) == ("WorkerError", "1")
    service.wait_for("workers_lost", lost + 1)
    service.wait_for("workers", 2)
    assert workers[1] in service.workers()
    changed = 1 + (answers[-1].status == 200)
    assert service.request("GET", path).json["n_samples"] == changed * len(X)
    service.request("DELETE", path)


def test_an_idle_worker_that_is_killed_loses_nothing(service: Service) -> None:
    service.wait_for("workers", 2)
    lost = service.figure("workers_lost")
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)
    service.wait_for("workers_lost", lost + 2)
    assert [service.score(npy(X, Y)).status for _ in range(4)] == [200] * 4


def test_a_storm_of_malformed_bodies_changes_no_honest_score(service: Service) -> None:
    """Bodies with random changes and cuts, in every format, beside requests that are right."""
    service.wait_for("workers", 2)
    lost = service.figure("workers_lost")
    rng = np.random.default_rng(0)
    pieces = []
    for body, media in bodies().values():
        for _ in range(12):
            changed = bytearray(body)
            for at in rng.integers(0, min(len(body), rng.choice([64, 400, len(body)])), 4):
                changed[at] = rng.integers(256)
            pieces.append((bytes(changed[: rng.integers(len(body) // 2, len(body) + 1)]), media))
    expected, honest = float(tx.logme(X, Y)), npy(X, Y)

    def attack(piece: tuple[bytes, str]) -> int:
        answer = service.score(piece[0], "", piece[1])
        return answer.status

    with ThreadPoolExecutor(4) as threads:
        hostile = threads.map(attack, pieces)
        for _ in range(60):
            answer = service.score(honest)
            assert answer.json["scores"]["logme"]["value"] == expected
        statuses = [*hostile]
    assert {*statuses} <= {200, 400, 413, 422}, sorted({*statuses})
    assert 400 in statuses
    assert service.figure("workers_lost") == lost
    assert service.figure("receiving") == service.figure("running") == 0


# --- start, end, log -----------------------------------------------------------------------------


def test_sigterm_finishes_what_runs_and_refuses_what_comes(tmp_path: Path) -> None:
    running = Service("--workers", "1", TMPDIR=str(tmp_path))
    try:
        assert len([*tmp_path.iterdir()]) == 1
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            sent = threads.submit(running.score, npy(X, Y))
            running.wait_for("running", 1)
            running.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + 10
            while (answer := running.request("GET", "/readyz")).status == 200:
                assert time.monotonic() < end
                time.sleep(0.02)
            assert (answer.status, answer.json) == (503, {"status": "stopping"})
            answer = running.score(npy(X, Y))
            assert (answer.status, answer.json["error"]) == (503, "StoppingError")
            assert running.request("GET", "/healthz").status == 200
            os.kill(worker, signal.SIGCONT)
            assert sent.result().json["scores"]["logme"]["value"] == float(tx.logme(X, Y))
        assert running.process.wait(10) == 0
    finally:
        running.kill()
    assert not Path(f"/proc/{worker}").exists()
    assert [*tmp_path.iterdir()] == []
    assert [line["event"] for line in running.logs][-1] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_of_a_terminal_leave_nothing(tmp_path: Path, number: int) -> None:
    running = Service("--workers", "1", TMPDIR=str(tmp_path))
    try:
        running.process.send_signal(number)
        assert running.process.wait(10) == 0
    finally:
        running.kill()
    assert [*tmp_path.iterdir()] == []


def test_a_service_that_is_killed_leaves_no_workers(tmp_path: Path) -> None:
    running = Service("--workers", "2", TMPDIR=str(tmp_path))
    workers = running.workers()
    running.kill()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("options", "token", "text"),
    [
        (["--host", "0.0.0.0"], None, "can be reached from other machines"),
        (["--host", "::"], None, "can be reached from other machines"),
        (["--host", "example.org"], None, "can be reached from other machines"),
        ([], "short", "at least 16"),
        ([], "", "at least 16"),
        ([], "sixteen chars or more", "letters, digits"),
        (["--max-body", "0"], TOKEN, "max-body"),
        (["--max-seconds", "0"], TOKEN, "max-seconds"),
        (["--port", "1", "--host", "192.0.2.1"], TOKEN, "cannot listen on 192.0.2.1"),
    ],
)
def test_a_start_that_is_refused(options: list[str], token: str | None, text: str) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    env = {"TRANSFERABILITY_SERVE_TOKEN": token}
    done = CliRunner().invoke(main, ["serve", *options], env=env)
    assert done.exit_code in (2, 3)
    assert text in done.output


def test_the_log_has_no_data_no_token_and_no_session(service: Service) -> None:
    identity = service.create()
    secret = np.array(["private-label"] * len(X))
    service.score(npy(X, secret), "?metrics=private_name")
    service.request("POST", f"/v1/sessions/{identity}/update", npy(X, secret[:-1]), NPY)
    service.request("GET", f"/v1/private-path?{identity}", X_Request_ID="last-of-all")
    end = time.monotonic() + 10
    while not any(line.get("request_id") == "last-of-all" for line in service.logs):
        assert time.monotonic() < end
        time.sleep(0.02)
    text = json.dumps(service.logs)
    for word in (TOKEN, identity, "private"):
        assert word not in text
    line = next(line for line in service.logs if line.get("path") == "/v1/score")
    assert {"time", "level", "request_id", "method", "status", "seconds"} <= {*line}


def test_the_document_describes_every_operation(service: Service) -> None:
    document = service.document
    assert document["openapi"].startswith("3.1")
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 13
    names = {*document["components"]["schemas"]}
    for used in json.dumps(document).split("#/components/schemas/")[1:]:
        assert used.partition('"')[0] in names
    scored = document["paths"]["/v1/score"]["post"]
    assert scored["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert "application/x-safetensors" in scored["requestBody"]["content"]


def test_figures_count_requests(service: Service) -> None:
    service.request("GET", "/v1/metrics")
    text = service.request("GET", "/metrics").body.decode()
    assert 'requests_total{method="GET",path="/v1/metrics",status="200"}' in text
    assert 'request_seconds_bucket{le="0.1",path="/v1/score"}' in text
    assert "process_resident_memory_bytes" in text


def test_the_client_of_the_documentation(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "service.md"
    (client,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    monkeypatch.setenv("TRANSFERABILITY_SERVE_TOKEN", TOKEN)
    namespace = {"tx": tx, "models": {"lsa384": X}, "labels": Y}
    code = client.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
    exec(compile(code, "docs/service.md", "exec"), namespace)
    assert {*namespace["scores"]} == {"logme", "knn"}  # type: ignore[call-overload]


def test_limits_of_the_documentation_are_options() -> None:
    from transferability.cli.serve import serve

    text = (Path(__file__).parents[2] / "docs" / "service.md").read_text("utf-8")
    limits = text.partition("## Limits")[2].partition("##")[0]
    options = {option.opts[0].removeprefix("--") for option in serve.params}
    named = {*re.findall(r"`((?:max|session|sessions|body)-\w+)`", limits)}
    assert named <= options
    assert {name for name in options if name.startswith(("max-", "session"))} <= named


def test_the_process_that_receives_has_no_parsers() -> None:
    code = (
        "import sys, transferability.serve._server; "
        "print([name for name in ('numpy', 'pyarrow', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_defaults_of_the_command_are_those_of_the_settings() -> None:
    from transferability.cli.serve import serve
    from transferability.serve._settings import Settings

    defaults = {option.name: option.default for option in serve.params}
    settings = vars(Settings())
    assert {name: defaults[name] for name in settings if name not in ("token", "workers")} == {
        name: value for name, value in settings.items() if name not in ("token", "workers")
    }


def test_errors_of_workers_have_the_statuses_of_the_documentation() -> None:
    from transferability.serve._problems import describe_error

    for error, status in (
        (tx.LimitError("x"), 413),
        (tx.DataError("x"), 422),
        (tx.DtypeError("x"), 422),
        (tx.NumericalError("x"), 422),
        (tx.OutOfMemoryError("x"), 503),
        (tx.MissingDependencyError("x"), 501),
        (tx.InternalError("x"), 500),
    ):
        told = describe_error(error)
        assert told == {"status": status, "error": type(error).__name__, "detail": "x"}
    assert describe_error(MemoryError())["error"] == "OutOfMemoryError"
    assert "secret" not in describe_error(KeyError("secret"))["detail"]


def test_threads_of_tests_are_gone() -> None:
    assert all(
        thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()
    )
