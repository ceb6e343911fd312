"""Zoho CRM on localhost: a server that answers as the reference says Zoho does.

It is written from the reference alone and imports nothing of ``airflow_provider_zohocrm.client``: a simulator that
borrowed the client's constants would be wrong together with it, and every test would pass.
"""

from __future__ import annotations
