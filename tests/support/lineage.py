"""OpenLineage's own JSON schemas as the judge of events."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

_FOLDER = Path(__file__).with_name("openlineage")


@cache
def _validators() -> dict[str, jsonschema.Draft202012Validator]:
    schemas = {path.stem: json.loads(path.read_text()) for path in _FOLDER.glob("*.json")}
    registry = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
    )
    return {
        name: jsonschema.Draft202012Validator(
            schema, registry=registry, format_checker=jsonschema.FormatChecker()
        )
        for name, schema in schemas.items()
    }


def validate_event(event: dict[str, Any]) -> None:
    """Validate an event, and each facet in it by the schema of the facet.

    A facet whose schema is not in the folder fails: it would go unchecked. The schema is chosen by the file's name, not by its
    version, which another release of the client may have.

    :param event: the event as JSON has it.
    :raises jsonschema.ValidationError: where it is not as specified.
    """
    validators = _validators()
    validators["OpenLineage"].validate(event)
    groups = [event["run"], event["job"], *event.get("inputs", []), *event.get("outputs", [])]
    for group in groups:
        for kind in ("facets", "inputFacets", "outputFacets"):
            for name, facet in (group.get(kind) or {}).items():
                schema = facet["_schemaURL"].split("#")[0].rsplit("/", 1)[-1].removesuffix(".json")
                validators[schema].validate({name: facet})
