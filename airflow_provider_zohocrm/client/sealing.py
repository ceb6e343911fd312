"""Encrypts what is left in a place that others can read, by a key that only those with the connection can make."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

    from airflow_provider_zohocrm.client.credentials import ZohoCredentials


def seal(text: str, credentials: ZohoCredentials) -> str:
    """Encrypt a text.

    :return: ASCII text, a third longer and some more.
    """
    return _fernet(credentials).encrypt(text.encode()).decode()


def unseal(text: str, credentials: ZohoCredentials) -> str | None:
    """Decrypt a text; None if it was sealed with other credentials, or not at all."""
    from cryptography.fernet import InvalidToken

    try:
        return _fernet(credentials).decrypt(text.encode()).decode()
    except InvalidToken:
        return None


def _fernet(credentials: ZohoCredentials) -> Fernet:
    from cryptography.fernet import Fernet

    # Both are random texts of Zoho's; a password would need a slower function.
    secret = f"zohocrm\n{credentials.client_secret}\n{credentials.refresh_token}"
    return Fernet(urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()))
