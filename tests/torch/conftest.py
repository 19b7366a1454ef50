"""Everything here needs torch; ``make test-torch`` runs it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed; make test-torch runs these tests")
