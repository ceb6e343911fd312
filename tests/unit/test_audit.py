from __future__ import annotations

import pytest

from tools import audit

CLEAN = (0, "No known vulnerabilities found")
FOUND = (1, "requests 2.19.0 PYSEC-2018-28 2.20.0")
DOWN = (1, "requests.exceptions.ConnectionError: Failed to resolve")


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    def run(*answers):
        asked = iter(answers)
        monkeypatch.setattr(audit, "audit", lambda path, source: next(asked))
        monkeypatch.setattr("sys.argv", ["audit", "--scratch", str(tmp_path), "a.txt", "b.txt"])
        return audit.main(), capsys.readouterr().out

    return run


@pytest.mark.parametrize("first", [CLEAN, DOWN])
def test_where_no_source_knows_anything_it_says_so(run, first):
    status, said = run(first, DOWN)
    assert status == 3
    assert said.startswith("NOT AUDITED")


def test_a_source_that_knows_an_old_vulnerability_is_asked(run):
    assert run(FOUND, CLEAN, CLEAN)[0] == 0


def test_the_second_source_is_asked_where_the_first_knows_nothing(run):
    status, said = run(CLEAN, FOUND, CLEAN, FOUND)
    assert status == 1
    assert "=== b.txt (osv)\nrequests 2.19.0" in said
