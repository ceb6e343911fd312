"""The page about faults says what the tests have proved."""

from __future__ import annotations

from tools.fault_matrix import PATH, page


def test_the_page_is_made_of_what_the_tests_are_parametrised_by() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run: python -m tools.fault_matrix"
