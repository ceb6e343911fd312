"""What a run did, for asset events and lineage; nothing here makes a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_zohocrm.assets.zohocrm import module_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

# An event is a row in Airflow's database; the manifest names all.
_MOST_NAMED = 100

Schema = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Report:
    """What a run of an operator did.

    :param module_uri: the module, see :func:`~airflow_provider_zohocrm.assets.zohocrm.module_uri`.
    :param writes: whether records went to Zoho, and not from it.
    :param files_uri: what is on the other side: one URI for all files, or None for XCom.
    :param rows: number of records that arrived there.
    :param bytes: size of the files written, or None.
    :param files: paths of the files written.
    :param watermark: newest ``Modified_Time``, or None.
    :param job_ids: ids of Zoho's bulk jobs.
    :param manifest: path of the manifest, or None.
    :param schema: names and types of the fields, as far as the run has read them.
    :param counts: more numbers, for the event: inserted, updated, rejected, ….
    """

    module_uri: str
    writes: bool
    files_uri: str | None
    rows: int
    bytes: int | None = None
    files: tuple[str, ...] = ()
    watermark: str | None = None
    job_ids: tuple[str, ...] = ()
    manifest: str | None = None
    schema: Schema = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def written_uri(self) -> str | None:
        """The asset that has changed."""
        return self.module_uri if self.writes else self.files_uri

    @property
    def extra(self) -> dict[str, Any]:
        """What the event of the asset carries: numbers and texts; several files are lines, several jobs have commas."""
        told = {
            "rows": self.rows,
            "bytes": self.bytes,
            "files": "\n".join(self.files[:_MOST_NAMED]) or None,
            "file_count": len(self.files) or None,
            "manifest": self.manifest,
            "watermark": self.watermark,
            "job_id": ",".join(self.job_ids) or None,
            **self.counts,
        }
        return {name: value for name, value in told.items() if value is not None}


def uri_of_module(hook: ZohoCRMHook, module: str) -> str:
    """Name a module with the host that was spoken to; the connection stands for an organisation it does not name."""
    organisation = hook.transport.credentials.organisation or hook.zohocrm_conn_id
    return module_uri(urlsplit(hook.transport.api_base()).netloc, organisation, module)


def schema_of(
    columns: Iterable[Sequence[Any]] | None,
    names: Iterable[str] | None = None,
    fields: Iterable[Mapping[str, Any]] | None = None,
) -> Schema:
    """Name the fields with their types, as far as they are known.

    :param columns: typed columns, ``[name, kind, …]``; they go before all else.
    :param names: API names.
    :param fields: Zoho's field objects; all of them if there are no names.
    """
    if columns is not None:
        return tuple((str(name), kind and str(kind)) for name, kind, *_ in columns)
    types = {str(each["api_name"]): each.get("data_type") for each in fields or ()}
    return tuple((name, types.get(name)) for name in (types if names is None else names))
