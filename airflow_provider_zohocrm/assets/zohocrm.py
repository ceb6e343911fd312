"""Modules of Zoho CRM as assets of Airflow: ``zohocrm://<api host>/<organisation>/<module>``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from openlineage.client.event_v2 import Dataset

    from airflow_provider_zohocrm._compat import Asset, AssetAlias

SCHEME = "zohocrm"
_FORM = f"{SCHEME}://www.zohoapis.eu/org20012345/Leads"


def module_uri(host: str, organisation: str, module: str) -> str:
    """Name a module.

    :param host: host of the API, e.g. ``www.zohoapis.eu``; with its port if it has one.
    :param organisation: e.g. ``org20012345``; what stands after ``/crm/`` in the address of its web pages.
    :param module: API name.
    :return: e.g. ``zohocrm://www.zohoapis.eu/org20012345/Leads``.
    """
    return f"{SCHEME}://{host.lower()}/{quote(organisation, safe='')}/{module}"


def create_asset(*, host: str, organisation: str, module: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make the asset of a module, to schedule a DAG by or to give as outlet.

    :param host: host of the API, e.g. ``www.zohoapis.eu``.
    :param organisation: as in the connection's *Organisation ID*, e.g. ``org20012345``; the connection's id where that is
        not filled in.
    :param module: API name.
    """
    from airflow_provider_zohocrm._compat import asset

    return asset(module_uri(host, organisation, module), extra)


def module_alias(module: str, zohocrm_conn_id: str = "zohocrm_default") -> AssetAlias:
    """Name, when a DAG is parsed, the module that operators write to: its host and organisation are known in a run only.

    A DAG with ``schedule=[module_alias("Leads")]`` runs after each task that wrote Leads by this connection.
    """
    return _alias(f"{zohocrm_conn_id}/{module}")


def files_alias(module: str, zohocrm_conn_id: str = "zohocrm_default") -> AssetAlias:
    """Name, when a DAG is parsed, the files that operators read a module into.

    A DAG with ``schedule=[files_alias("Leads")]`` runs after each task that read Leads into files by this connection.
    """
    return _alias(f"{zohocrm_conn_id}/{module}/files")


def _alias(name: str) -> AssetAlias:
    from airflow_provider_zohocrm._compat import asset_alias

    return asset_alias(name)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check and normalise a URI; Airflow calls this for every asset of the scheme.

    :raises ValueError: if it has another form.
    """
    parts = uri.path.strip("/").split("/")
    if not uri.netloc or "@" in uri.netloc or len(parts) != 2 or not all(parts) or uri.query:
        raise ValueError(f"{uri.geturl()!r} is not of the form {_FORM}")
    return uri._replace(netloc=uri.netloc.lower(), path="/" + "/".join(parts))


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001  # called by Airflow
    """Name the dataset of OpenLineage that an asset is: the organisation is its namespace."""
    from openlineage.client.event_v2 import Dataset

    namespace, name = dataset_name(asset.uri)
    return Dataset(namespace=namespace, name=name)


def dataset_name(uri: str) -> tuple[str, str]:
    """Cut the URI of an asset into namespace and name, as OpenLineage names datasets.

    :param uri: of a module (``zohocrm://``), of files on object storage, or ``file://``.
    :return: e.g. ``("zohocrm://www.zohoapis.eu/org20012345", "Leads")``, ``("s3://lake", "zoho/leads")``,
        ``("file", "/lake/zoho/leads")``.
    """
    parts = urlsplit(uri)
    if parts.scheme == SCHEME:
        organisation, _, module = parts.path.strip("/").partition("/")
        return f"{SCHEME}://{parts.netloc}/{organisation}", module
    if parts.scheme == "file":
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "/"
