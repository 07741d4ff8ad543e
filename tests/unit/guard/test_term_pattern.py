"""A tree of words finds what a list of them finds."""

import re

from hypothesis import given
from hypothesis import strategies as st

from corral.guard.personal_scanner import PersonalScanner
from corral.guard.term_pattern import any_of, beginning_of

TERMS = st.lists(st.text(alphabet="abA.é ", min_size=1, max_size=5), min_size=1, max_size=6)


@given(TERMS, st.text(alphabet="abA.é ", max_size=20))
def test_the_tree_is_the_list(terms: list[str], text: str) -> None:
    longest_first = sorted(set(terms), key=len, reverse=True)
    plain = re.compile("|".join(map(re.escape, longest_first)))
    assert re.compile(any_of(terms)).findall(text) == plain.findall(text)
    begun = {term[:size] for term in terms for size in range(1, len(term) + 1)}
    pattern = re.compile(beginning_of(terms))
    for size in range(1, 6):
        assert bool(pattern.fullmatch(text[:size])) == (text[:size] in begun)


@given(TERMS)
def test_every_term_is_found_whatever_its_case(terms: list[str]) -> None:
    for term in terms:
        said = f"- {term.upper()} -"
        hits = list(PersonalScanner({"private_term"}, terms).hits(said, 0, len(said)))
        assert hits, term
