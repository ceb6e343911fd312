"""Zoho's published OpenAPI files as a judge of answers.

The files are read in place and not copied. As they stand they would accept nearly anything: no answer of the records API
names a required key, so an error fits the schema of a list. So they are read more strictly than their letter:

* a key that a described object does not list is an error;
* a text of format ``date-time`` is a date-time with seconds and an offset, and no fraction (sheet §2.1);
* ``nullable`` is OpenAPI 3.0's and means null.

And more loosely in one point: of ``oneOf`` one or more alternatives may fit, because Zoho's overlap.
"""

from __future__ import annotations

import json
import re
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jsonschema.exceptions import ValidationError

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference" / "oas"
"""Beside the repository, in CI as in a clone."""

_REMOTE = re.compile(r"^https://raw\.githubusercontent\.com/.*/v8\.0/(\w+\.json)(#.*)$")
_NAME = "urn:zoho-oas:"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time")
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or _MOMENT.fullmatch(value) is not None


@dataclass(frozen=True)
class Answer:
    """An answer of the simulator."""

    operation: str
    """Verb and path as the specification writes it, ``GET /crm/v8/{module_api_name}``."""
    status: int
    content_type: str
    body: Any
    note: str = ""


@dataclass(frozen=True)
class Correction:
    """A place where the specification itself is wrong, and why we know."""

    place: str
    """``file#/pointer`` of a schema, or ``file VERB path`` of an operation."""
    change: tuple[tuple[str, Any], ...]
    reason: str

    def parts(self) -> list[Correction]:
        """Take it apart: one key or one value each."""
        found = []
        for kind, value in self.change:
            if kind in {"nullable", "optional", "member"}:
                found += [Correction(self.place, ((kind, (one,)),), self.reason) for one in value]
            elif kind == "key":
                found += [
                    Correction(self.place, ((kind, {name: one}),), self.reason) for name, one in value.items()
                ]
            else:
                found.append(Correction(self.place, ((kind, value),), self.reason))
        return found

    def __str__(self) -> str:
        shown = [f"{kind} {', '.join(map(str, value))[:80]}" for kind, value in self.change]
        return f"{self.place}: {'; '.join(shown)}"

    @property
    def file(self) -> str:
        """The file it corrects."""
        return re.split("[# ]", self.place, maxsplit=1)[0]

    def apply(self, document: dict[str, Any]) -> None:
        """Change the file."""
        _, _, pointer = self.place.partition("#")
        if not pointer:
            self._apply_to_operation(document, self.place.partition(" ")[2])
            return
        target = document
        for step in pointer.strip("/").split("/"):
            target = target[step]
        for kind, value in self.change:
            _CHANGES[kind](target, value)

    def _apply_to_operation(self, document: dict[str, Any], name: str) -> None:
        verb, _, path = name.partition(" ")
        responses = document["paths"][path][verb.lower()]["responses"]
        for kind, value in self.change:
            if kind == "status":
                status, like = value
                if not like:
                    responses[status] = {}
                elif like in responses:
                    responses[status] = responses[like]
                else:
                    # The schema of an error that is described for all calls.
                    responses[status] = {"content": {"application/json": {"schema": {"$ref": like}}}}
            elif kind == "content":
                status, new, old = value
                responses[status]["content"][new] = responses[status]["content"][old]
            elif kind == "error":
                status, ref = value
                response = responses[status]
                if "$ref" in response:
                    response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
                alternatives = response["content"]["application/json"]["schema"]["oneOf"]
                alternatives.append(deepcopy(ref))
            elif kind == "schema":
                status, schema = value
                responses[status]["content"]["application/json"] = {"schema": deepcopy(schema)}


def _drop(target: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        target["required"].remove(name)


def _add(target: dict[str, Any], values: Iterable[Any]) -> None:
    target["enum"] = [*target["enum"], *values]


_CHANGES: dict[str, Any] = {
    "nullable": lambda target, names: [
        target["properties"][name].setdefault("x-null", True) for name in names
    ],
    "null": lambda target, _: target.setdefault("x-null", True),
    "optional": _drop,
    "member": _add,
    "key": lambda target, keys: target["properties"].update(deepcopy(keys)),
    "replace": lambda target, schema: (target.clear(), target.update(deepcopy(schema))),
}


def nullable(place: str, *names: str, reason: str) -> Correction:
    """Keys that can be null."""
    return Correction(place, (("nullable", names),), reason)


def optional(place: str, *names: str, reason: str) -> Correction:
    """Keys that can be absent."""
    return Correction(place, (("optional", names),), reason)


def member(place: str, *values: Any, reason: str) -> Correction:
    """Values missing in an enumeration."""
    return Correction(place, (("member", values),), reason)


def key(place: str, reason: str, **keys: Any) -> Correction:
    """Keys that are missing; a name's ``S_`` at the start stands for ``$``."""
    return Correction(
        place, (("key", {re.sub("^S_", "$", name): value for name, value in keys.items()}),), reason
    )


def replace(place: str, schema: dict[str, Any], reason: str) -> Correction:
    """A schema that is wrong altogether."""
    return Correction(place, (("replace", schema),), reason)


def status(place: str, new: int, like: str, reason: str) -> Correction:
    """A status that is missing; its body is that of another status, of a schema, or there is none."""
    return Correction(place, (("status", (str(new), like)),), reason)


def error(place: str, of_status: int, code: str, reason: str, **details: Any) -> Correction:
    """An error that is missing among those of a status, with the schemas of its details."""
    envelope = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "enum": [code]},
            "message": {"type": "string"},
            "status": {"type": "string", "enum": ["error"]},
            "details": {"type": "object", "properties": details, "required": list(details)},
        },
        "required": ["code", "message", "status", "details"],
    }
    return Correction(place, (("error", (str(of_status), envelope)),), reason)


def content(place: str, of_status: int, new: str, old: str, reason: str) -> Correction:
    """A content type that is missing."""
    return Correction(place, (("content", (str(of_status), new, old)),), reason)


def schema(place: str, of_status: int, value: dict[str, Any], reason: str) -> Correction:
    """The schema of an answer that has none."""
    return Correction(place, (("schema", (str(of_status), value)),), reason)


class Specification:
    """The files, with corrections."""

    def __init__(self, folder: Path, corrections: Iterable[Correction]) -> None:
        self._texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}
        self._corrections = tuple(corrections)
        self.missing: set[str] = set()
        """Files that are referred to and not there: what they describe is not checked."""
        self._prepare({name: self._corrected(name) for name in self._texts})

    def without(self, correction: Correction) -> Specification:
        """Build the same without one of the corrections."""
        other = copy(self)
        other._corrections = tuple(one for one in self._corrections if one is not correction)
        other._prepare({**self._documents, correction.file: other._corrected(correction.file)})
        return other

    def _corrected(self, file: str) -> Any:
        document = json.loads(self._texts[file])
        for correction in self._corrections:
            if correction.file == file:
                correction.apply(document)
        return self._read(document, file, set(self._texts))

    def _prepare(self, documents: dict[str, Any]) -> None:
        self._documents = documents
        self._registry: Registry[Any] = Registry().with_resources(
            (f"{_NAME}{name}", DRAFT202012.create_resource(document)) for name, document in documents.items()
        )
        self._operations = {
            f"{verb.upper()} {path}": (name, path, verb)
            # Counting is described twice; record_count.json knows its refusals too.
            for name, document in sorted(documents.items())
            for path, verbs in document["paths"].items()
            for verb in verbs
        }
        self._validators: dict[str, Draft202012Validator] = {}

    def _read(self, node: Any, file: str, known: set[str]) -> Any:
        if isinstance(node, list):
            return [self._read(one, file, known) for one in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            return self._reference(node, file, known)
        found = {name: self._read(value, file, known) for name, value in node.items()}
        if isinstance(found.get("properties"), dict) and isinstance(node.get("type", "object"), str):
            found.setdefault("additionalProperties", False)
        if isinstance(found.get("oneOf"), list):
            found["anyOf"] = found.pop("oneOf")
        # A number cannot have a pattern, and a default is no check.
        if found.get("type") == "integer":
            found.pop("pattern", None)
        if found.get("nullable") is True or found.get("x-null") is True:
            return {"anyOf": [{"type": "null"}, found]}
        return found

    def _reference(self, node: dict[str, Any], file: str, known: set[str]) -> Any:
        remote = _REMOTE.match(node["$ref"])
        name, pointer = (remote[1], remote[2]) if remote else (file, node["$ref"])
        if "#" in pointer and not pointer.startswith("#"):
            name, _, pointer = pointer.partition("#")
            pointer = f"#{pointer}"
        if name not in known:
            self.missing.add(name)
            return {}
        target = {"$ref": f"{_NAME}{name}{pointer}"}
        if node.get("nullable") is True or node.get("x-null") is True:
            return {"anyOf": [{"type": "null"}, target]}
        return target

    def errors(self, answer: Answer) -> list[str]:
        """Name what in an answer does not fit."""
        where = f"{answer.operation} {answer.status} {answer.note}".strip()
        content = self._content(answer)
        if isinstance(content, dict):
            validator = self._validator(f"{answer.operation} {answer.status}", content)
            return [
                f"{where}: {text}"
                for found in validator.iter_errors(answer.body)
                for text in _explained(found)
            ]
        return [] if content is None else [f"{where}: {content}"]

    def _content(self, answer: Answer) -> dict[str, Any] | str | None:
        """Find the schema of an answer; a text is what is wrong, None is an answer that needs none."""
        if answer.operation not in self._operations:
            return "the specification has no such call"
        name, path, verb = self._operations[answer.operation]
        responses = self._documents[name]["paths"][path][verb]["responses"]
        response = responses.get(str(answer.status))
        if response is None:
            return f"status {answer.status} is not among {', '.join(responses)}"
        if "$ref" in response:
            file, _, rest = response["$ref"].removeprefix(_NAME).partition("#")
            response = self._documents[file]
            for step in rest.strip("/").split("/"):
                response = response[step]
        described = response.get("content") or {}
        if not described:
            return None if answer.body is None else "a body where none is described"
        kind = answer.content_type.partition(";")[0].strip()
        if kind not in described:
            return f"content type {kind or 'none'} is not among {', '.join(described)}"
        if kind != "application/json":
            return None
        found: dict[str, Any] | None = described[kind].get("schema")
        return found if found is not None else "no schema is given"

    def file_of(self, answer: Answer) -> str:
        """Name the file that describes an answer."""
        return self._operations[answer.operation][0]

    def fits(self, answer: Answer) -> bool:
        """Tell whether an answer fits, sooner than by naming all that does not."""
        content = self._content(answer)
        if isinstance(content, dict):
            return self._validator(f"{answer.operation} {answer.status}", content).is_valid(answer.body)
        return content is None

    def _validator(self, name: str, content: Any) -> Draft202012Validator:
        if name not in self._validators:
            self._validators[name] = Draft202012Validator(
                content, registry=self._registry, format_checker=FORMATS
            )
        return self._validators[name]


def _explained(found: ValidationError) -> list[str]:
    """Name the errors at the bottom: of alternatives, those of the one that fits best."""
    if found.validator != "anyOf" or not found.context:
        place = "/".join(str(step) for step in found.absolute_path)
        shown = "/".join(str(step) for step in list(found.absolute_schema_path)[-6:])
        return [f"{place}: {found.message[:300]} [{shown}]"]
    branches: dict[Any, list[str]] = {}
    weights: dict[Any, int] = {}
    for inner in found.context:
        branch = inner.schema_path[0]
        branches.setdefault(branch, []).extend(_explained(inner))
        # Unknown keys at the top, another kind of value, or a wrong code say that another alternative was meant.
        heavy = 1_000_000 if inner.validator in {"additionalProperties", "type"} and not inner.path else 1
        heavy = 1_000 if inner.path and inner.path[-1] in {"code", "status"} else heavy
        weights[branch] = weights.get(branch, 0) + heavy
    return branches[min(branches, key=lambda branch: weights[branch])]
