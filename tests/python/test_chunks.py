"""Chunk schemes are recognised from the whole set of tags, and names are never cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferability._inputs.chunks import explain_kept, find_scheme

SCHEMES = {
    "BIO": "B-PER I-PER B-LOC I-LOC O",
    "BIO without O": "B-PER I-PER B-LOC I-LOC",
    "BIO2, single words": "B-PER B-LOC O",
    "IOB1": "I-PER I-LOC B-LOC O",
    "IO": "I-PER I-LOC O",
    "IOE1": "I-PER I-LOC E-LOC O",
    "BIOES": "B-PER I-PER E-PER S-PER S-LOC O",
    "BILOU": "B-PER I-PER L-PER U-PER U-LOC O",
    "BMES": "B-NAME M-NAME E-NAME O",
    "BMES with S": "B-NAME M-NAME E-NAME S-NAME S-LOC O",
    "BMEWO": "B-NAME M-NAME E-NAME W-NAME W-LOC O",
    "underscore": "B_PER I_PER B_LOC O",
    "suffix": "PER-B PER-I LOC-B O",
    "suffix with underscore": "PER_B PER_M PER_E LOC_S O",
    "lower case": "b-np i-np b-vp o",
    "hyphens in entities": "B-per-son I-per-son B-geo-loc O",
    "special tags": "B-PER I-PER O X [PAD] [CLS] <unk> _",
    "O by another name": "B-PER I-PER OTHER",
    "O by two other names": "B-PER I-PER 0 none",
    "part of speech": "B-NN M-NN E-NN S-NN S-VV B-VV E-VV",
}
NAMES = {
    "mail": "E-mail S-Bahn letter",
    "only names": "E-mail B-52 S-Bahn",
    "trains": "S-Bahn U-Bahn O",
    "two trains": "S-Bahn U-Bahn",
    "cars": "A-Klasse B-Klasse E-Klasse S-Klasse",
    "cars with marks only": "B-Klasse E-Klasse S-Klasse",
    "vitamins": "Vitamin-B Vitamin-E Vitamin-D",
    "vitamins with marks only": "Vitamin-B Vitamin-E",
    "two forms of hepatitis": "Hepatitis-B Hepatitis-E",
    "hepatitis": "Hepatitis-B Hepatitis-E Hepatitis-C O",
    "mail beside O": "E-mail O",
    "cells": "B-cell Other",
    "phones": "i-phone e-mail o",
    "blood": "A B AB O",
    "bare marks": "B I O",
    "bare marks of words": "B M E S",
    "parts of speech": "NOUN VERB X",
    "outside only": "O",
    "no entity": "B- O-LOC",
    "one entity alone": "B-PER I-PER",
    "two insides": "B-PER I-PER M-PER O",
    "two separators": "B-PER I_PER O",
    "a name beside tags": "B-PER I-PER O Boeing",
    "roads": "B-52 I-52 A-52 O",
    "nothing": "",
}


@pytest.mark.parametrize("kind", SCHEMES)
def test_schemes_are_recognised(kind: str) -> None:
    tags = SCHEMES[kind].split()
    scheme = find_scheme(tags)
    assert scheme is not None
    entities = {scheme.strip(tag) for tag in tags}
    expected = {"PER", "LOC", "NAME", "np", "vp", "per-son", "geo-loc", "NN", "VV"}
    special = {"O", "o", "X", "[PAD]", "[CLS]", "<unk>", "_", "OTHER", "0", "none"}
    assert entities - special <= expected
    assert {tag for tag in tags if tag in special} <= entities
    for tag in tags:  # the entity is a part of the tag, and nothing but the mark is gone
        assert tag in special or len(tag) == len(scheme.strip(tag)) + 2


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_no_scheme(kind: str) -> None:
    assert find_scheme(NAMES[kind].split()) is None


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        ("B-PER I-PER O", "the tags are a BIO scheme, whose prefixes B-, I- were removed"),
        ("B_A M_A E_A S_B O", "the tags are a BMES scheme, whose prefixes B_, M_, E_, S_ were"),
        ("A-B A-I O", "the tags are a BIO scheme, whose suffixes -B, -I were removed"),
        ("b-np i-np b-vp o", "whose prefixes b-, i- were removed"),
        ("B-A I-A L-A U-A O", "a BILOU scheme"),
        ("B-A M-A W-A O", "a BMEWO scheme"),
        ("I-A E-A O", "a IOE scheme"),
    ],
)
def test_the_note_says_which_scheme_was_taken(tags: str, note: str) -> None:
    scheme = find_scheme(tags.split())
    assert scheme is not None
    assert note in scheme.note


def test_a_stray_tag_is_named_where_it_keeps_a_scheme() -> None:
    assert "'Boeing' is no tag" in explain_kept(["B-PER", "I-PER", "O", "Boeing"])
    assert explain_kept(["B-52", "Boeing", "O"]) == ""
    assert explain_kept(["NOUN", "VERB"]) == ""


_ENTITIES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{1,6}[a-z0-9]", fullmatch=True)
_FAMILIES = ("BI", "BIES", "BILU", "BMES", "BMEW", "IE")


@given(
    marks=st.sampled_from(_FAMILIES),
    entities=st.sets(_ENTITIES, min_size=1, max_size=4),
    separator=st.sampled_from("-_:/|."),
    is_suffix=st.booleans(),
    drawn=st.randoms(use_true_random=False),
)
@settings(max_examples=300, deadline=None)
def test_every_complete_set_of_a_scheme_is_stripped_to_its_entities(
    marks: str, entities: set[str], separator: str, is_suffix: bool, drawn: object
) -> None:
    pairs = itertools.product(marks, sorted(entities))
    tags = {(e + separator + m if is_suffix else m + separator + e): e for m, e in pairs}
    shuffled = [*tags, "O"]
    drawn.shuffle(shuffled)  # type: ignore[attr-defined]
    scheme = find_scheme(shuffled)
    assert scheme is not None
    if {scheme.separator, scheme.is_suffix} == {separator, is_suffix}:  # else it reads both ways
        assert {tag: scheme.strip(tag) for tag in tags} == tags


@given(st.sets(st.text("BIESLUMWO-_x5", min_size=1, max_size=4), max_size=6))
@settings(max_examples=500, deadline=None)
def test_stripping_removes_one_mark_or_nothing(tags: set[str]) -> None:
    scheme = find_scheme(tags)
    if scheme is not None:
        for tag in tags:
            assert scheme.strip(tag) in (tag, tag[2:], tag[:-2])
            assert scheme.strip(tag)
