"""What reading can check of GitHub's workflows, which do not run here, and of names in pages."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def unpinned(text):
    """Actions without the hash of a commit and its version."""
    used = re.findall(r"\buses:\s*(.*)", text)
    return [action for action in used if not PINNED.match(action)]


def test_actions_are_pinned_by_the_hash_of_a_commit():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]
    hashes = {}
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert unpinned(text) == []
        for action, commit in re.findall(r"uses: (\S+)@(\w+)", text):
            assert hashes.setdefault(action, commit) == commit, f"two versions of {action}"
    assert len(hashes) == 6


@pytest.mark.parametrize(
    "action",
    [
        "actions/checkout@v7",
        "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1",
        "actions/checkout@3d3c42e # v7.0.1",
        "actions/checkout@main # v7.0.1",
        "docker://alpine:3",
    ],
)
def test_a_loose_action_is_found(action):
    assert unpinned(f"    - uses: {action}\n") == [action]


def test_rights_are_given_to_single_jobs():
    expected = {"ci.yml": [], "release.yml": ["id-token", "attestations"]}
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^permissions: \{\}$", text, re.M), path.name
        assert "pull_request_target" not in text
        assert text.count("actions/checkout@") == text.count("persist-credentials: false")
        assert "secrets." not in text  # trusted publishing needs none
        assert re.findall(r"([\w-]+): write\b", text) == expected[path.name]


@pytest.mark.parametrize("page", ["SECURITY.md", "THREATS.md", "CONTRIBUTING.md"])
def test_what_documents_name_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"`((?:src|ci|tests|\.github)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert (ROOT / "tests" / "python" / name).exists(), name
