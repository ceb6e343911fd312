"""What Zoho says of a record that was written, without what nobody asks of it: a fifth of the work of parsing all."""

from __future__ import annotations

from typing import Literal

import msgspec


class Details(msgspec.Struct, gc=False):
    """The part of the ``details`` that is used."""

    id: str


class Written(msgspec.Struct, gc=False):
    """The result of a record that was written (reference sheet §3.2).

    :param status: tells it.
    :param details: with the record's id.
    :param action: of an upsert, ``insert`` or ``update``.
    :param duplicate_field: the field by which an upsert found the record.
    """

    status: Literal["success"]
    details: Details
    action: str | None = None
    duplicate_field: str | None = None


class Results(msgspec.Struct):
    """The answer to a write of which each record was written."""

    data: list[Written]


decode_results = msgspec.json.Decoder(Results).decode
