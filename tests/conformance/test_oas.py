"""Every answer of the simulator to a call of Zoho's OpenAPI files fits them, but for the known errors of the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.answers import GROUPS, Collector
from conformance.corrections import CORRECTIONS
from conformance.oas import FOLDER, Answer, Specification

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.server import Simulator
    from conformance.oas import Correction

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason="Zoho's OpenAPI files are not here: they lie beside the repository, in shared/reference/oas",
)

# What the files refer to and nobody has: profiles, layouts, views, tags and related lists are not checked.
ABSENT = {"custom_views.json", "layouts.json", "profiles.json", "related_lists.json", "tags.json"}


@pytest.fixture(scope="module")
def specification() -> Specification:
    return Specification(FOLDER, CORRECTIONS)


@pytest.fixture(scope="module")
def collected() -> dict[str, list[Answer]]:
    """The answers by group, as far as they were asked for."""
    return {}


def ask(group: str, simulator: Simulator, collected: dict[str, list[Answer]]) -> list[Answer]:
    if group not in collected:
        collector = Collector(simulator)
        GROUPS[group](collector)
        collector.session.close()
        collected[group] = collector.answers
    return collected[group]


@pytest.mark.parametrize("group", GROUPS)
def test_answers_fit(
    group: str, simulator: Simulator, specification: Specification, collected: dict[str, list[Answer]]
) -> None:
    answers = ask(group, simulator, collected)
    assert answers
    assert [text for answer in answers for text in specification.errors(answer)] == []


def test_every_correction_is_still_needed(simulator: Simulator, collected: dict[str, list[Answer]]) -> None:
    for group in GROUPS:
        ask(group, simulator, collected)
    # Short bodies first, and those of the corrected file: it takes one that no longer fits to show the need.
    answers = sorted(
        (one for group in collected.values() for one in group), key=lambda one: len(str(one.body))
    )
    parts = [part for correction in CORRECTIONS for part in correction.parts()]
    whole = Specification(FOLDER, parts)

    def needless(part: Correction) -> bool:
        without = whole.without(part)
        ordered = sorted(answers, key=lambda one: whole.file_of(one) != part.file)
        return all(map(without.fits, ordered))

    assert [str(part) for part in parts if needless(part)] == []


def test_every_correction_has_a_reason() -> None:
    assert all(len(correction.reason) > 10 for correction in CORRECTIONS)


def test_only_the_files_known_to_be_absent_are_missing(specification: Specification) -> None:
    assert specification.missing == ABSENT


@pytest.mark.parametrize(
    ("operation", "status", "body"),
    [
        ("GET /crm/v8/{module_api_name}", 200, {"data": [{"id": 3652397001000100001}], "info": {}}),
        ("GET /crm/v8/{module_api_name}", 200, {"data": [{"Created_Time": "2024-01-01T00:00:00.000Z"}]}),
        ("GET /crm/v8/{module_api_name}", 200, {"data": [], "information": {}}),
        ("GET /crm/v8/{module_api_name}", 400, {"code": "NO_SUCH_CODE", "status": "error"}),
        (
            "POST /crm/v8/{module_api_name}",
            201,
            {"data": [{"status": "success", "message": "record stored"}]},
        ),
        ("POST /crm/v8/coql", 400, {"code": "SYNTAX_ERROR", "message": "x", "status": "error"}),
        ("POST /crm/bulk/v8/read", 201, {"data": []}),
        ("GET /crm/bulk/v8/read/{job_id}", 200, {"data": [{"state": "FAILED"}]}),
        ("GET /crm/bulk/v8/read/{job_id}", 404, None),
        ("GET /crm/v8/settings/modules", 200, {"modules": [{}]}),
        ("GET /crm/v8/users", 200, {"users": [{"id": 7}], "info": {}}),
        ("GET /crm/v8/nothing", 200, {}),
        ("POST /crm/v8/coql", 302, {}),
    ],
)
def test_the_judge_refuses_what_does_not_fit(
    specification: Specification, operation: str, status: int, body: object
) -> None:
    answer = Answer(operation, status, "application/json", body)
    assert specification.errors(answer)
    assert not specification.fits(answer)
