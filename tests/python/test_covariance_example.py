"""The example on covariances prints what it shows, and draws the plots of its page."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_covariance_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("sys.argv", ["covariance.py", "--plots", str(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / "covariance.py"), run_name="__main__")
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert len(rows) == 22
    assert rows["minilm_l6"] == ["384", "154.2", "0.1512", "0.1461"]
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["covariance_shrinkage.png", "covariance_spectra.png"]
    page = (ROOT / "docs" / "covariance.md").read_text(encoding="utf-8")
    for name in written:
        assert (tmp_path / name).stat().st_size > 10_000
        assert f"({name})" in page
