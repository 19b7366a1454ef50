"""Send requests that follow from the OpenAPI document of a running service, right and wrong ones.

    pip install schemathesis && python ci/check_openapi.py

schemathesis makes them, and compares every answer with the document: no status 500, and no status,
media type, header or content that the document does not have.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "unsupported_method"),
)


def register_bodies() -> None:
    """Tell schemathesis what to send as arrays: right ones, and any bytes."""
    import io

    import numpy as np
    import schemathesis
    from hypothesis import strategies

    import transferability as tx

    features, labels = np.arange(40.0).reshape(10, 4) ** 1.5 % 7, np.arange(10) % 2
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, features)
    np.save(npy, labels)
    np.savez(npz, features=features, labels=labels)
    state = tx.Stats().update(features, labels).to_bytes()
    right: dict[str, Any] = {
        "application/x-npy": npy.getvalue(),
        "application/x-npz": npz.getvalue(),
        "application/zip": npz.getvalue(),
        "application/x-transferability-stats": state,
    }
    others = ("x-safetensors", "vnd.apache.arrow.stream", "vnd.apache.arrow.file")
    any_bytes = strategies.binary(max_size=200)
    for media in (*right, *(f"application/{name}" for name in others)):
        known = strategies.just(right[media]) if media in right else strategies.nothing()
        schemathesis.openapi.media_type(media, known | any_bytes)


def main() -> int:
    """Start a service, run schemathesis against it, and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=100, help="of each operation")
    options = parser.parse_args()
    token = secrets.token_hex(16)
    service = subprocess.Popen(
        [sys.executable, "-m", "transferability", "serve", "--port=0", "--max-sessions=100000"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TRANSFERABILITY_SERVE_TOKEN": token},
    )
    try:
        assert service.stderr is not None
        address = next(json.loads(line) for line in service.stderr if '"address"' in line)
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{address['address']}/openapi.json"),
            *("-H", f"Authorization: Bearer {token}"),
            *("--checks", ",".join(CHECKS)),
            *("--max-examples", str(options.examples), "--generation-deterministic"),
            *("--phases", "examples,coverage,fuzzing,stateful"),
        ]
        discard = subprocess.Popen(["cat"], stdin=service.stderr, stdout=subprocess.DEVNULL)
        hooks = {"SCHEMATHESIS_HOOKS": Path(__file__).stem}
        folder = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        env = {**os.environ, **hooks, "PYTHONPATH": folder}
        code = subprocess.run(command, timeout=1800, env=env).returncode
    finally:
        service.terminate()
        service.wait(60)
    discard.wait(10)
    return code


if __name__ == "__main__":
    sys.exit(main())
elif "SCHEMATHESIS_HOOKS" in os.environ:  # schemathesis imports this file
    register_bodies()
