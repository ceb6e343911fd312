"""Zoho's error envelope, with the wordings of the sheet §10.2."""

from __future__ import annotations

from typing import Any


def envelope(code: str, message: str, details: Any = None) -> dict[str, Any]:
    """Build ``{"code","details","message","status":"error"}``.

    :param code: Zoho's error code.
    :param message: the text.
    :param details: an object, or an array for 415.
    """
    return {
        "code": code,
        "details": {} if details is None else details,
        "message": message,
        "status": "error",
    }


class ApiError(Exception):
    """A flat error answer."""

    def __init__(
        self, status: int, code: str, message: str, details: Any = None, *, gateway: bool = False
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.body = envelope(code, message, details)
        # The gateway in front of the application answers in another dress (sheet §10.1 row 8).
        self.gateway = gateway


def invalid_url() -> ApiError:
    """404 of the gateway: no such path."""
    message = "Please check if the URL trying to access is a correct one"
    return ApiError(404, "INVALID_URL_PATTERN", message, gateway=True)


def invalid_method() -> ApiError:
    """400 of the gateway: the path exists, the verb is wrong."""
    message = "The http request method type is not a valid one"
    return ApiError(400, "INVALID_REQUEST_METHOD", message, gateway=True)


def invalid_module() -> ApiError:
    """400: no such module."""
    message = "the module name given seems to be invalid"
    return ApiError(400, "INVALID_MODULE", message, {"resource_path_index": 0})


def invalid_param(name: str, **details: Any) -> ApiError:
    """400 INVALID_DATA for a query parameter.

    :param name: name of the parameter.
    :param details: more keys, for example ``supported_values``.
    """
    return ApiError(400, "INVALID_DATA", "invalid data", {"param_name": name, **details})


def pattern_not_matched(name: str) -> ApiError:
    """400: a query parameter of the wrong form.

    :param name: name of the parameter.
    """
    message = "Please check whether the input values are correct"
    return ApiError(400, "PATTERN_NOT_MATCHED", message, {"param_name": name})


def limit_exceeded(name: str, limit: int) -> ApiError:
    """400: too many values in a query parameter.

    :param name: name of the parameter.
    :param limit: the most that is allowed.
    """
    return ApiError(400, "LIMIT_EXCEEDED", "limit exceeded", {"limit": limit, "param_name": name})


def required_param(name: str, style: str) -> ApiError:
    """400: a query parameter is missing.

    :param name: name of the parameter.
    :param style: value of the option ``required_param_style`` (sheet §11, two wordings).
    """
    if style == "old":
        message = "One of the expected parameter is missing"
        return ApiError(400, "REQUIRED_PARAM_MISSING", message, {"param": name})
    return ApiError(400, "REQUIRED_PARAM_MISSING", "required param is missing", {"param_name": name})


def ambiguous(*names: str) -> ApiError:
    """400: parameters that exclude each other.

    :param names: names of the parameters.
    """
    message = f"Please use either {' or '.join(names)}. Combination of the params is not allowed"
    due = [{"param_name": name} for name in names]
    return ApiError(400, "AMBIGUITY_DURING_PROCESSING", message, {"ambiguity_due_to": due})


def too_many_requests() -> ApiError:
    """429, the form seen most (sheet §6.3)."""
    return ApiError(429, "TOO_MANY_REQUESTS", "too many requests. please try again after some time")


def not_supported_version(version: str) -> ApiError:
    """404: the path exists in another version only (sheet §7, status a guess).

    :param version: the first version that has the path.
    """
    message = "The API is not supported in this version"
    return ApiError(404, "API_NOT_SUPPORTED", message, {"supported_version": version})
