"""Both transports, driven alike, and a third host that nobody may call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.leaks import CLIENT_SECRET, REFRESH_TOKEN
from support.wrong_servers import Uncalled

from airflow_provider_zohocrm.client.aio import AsyncTransport
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def third_host() -> Iterator[Uncalled]:
    host = Uncalled()
    yield host
    assert host.callers() == 0, "something was sent to a third host"
    host.close()


@pytest.fixture
def credentials() -> Callable[..., ZohoCredentials]:
    def make(url: str, **extra: Any) -> ZohoCredentials:
        fields = {"refresh_token": REFRESH_TOKEN, "accounts_url": url, "api_url": url, **extra}
        return ZohoCredentials.from_fields("1000.CLIENT", CLIENT_SECRET, fields)

    return make


@pytest.fixture(params=["requests", "aiohttp"])
def send(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Send a call with either transport, without repetitions."""

    def by_requests(credentials: ZohoCredentials, call: Any, retries: int = 0) -> Any:
        transport = Transport(credentials, store=MemoryTokenStore(), policy=RetryPolicy(retries), timeout=10)
        try:
            return transport.send(call)
        finally:
            transport.close()

    def by_aiohttp(credentials: ZohoCredentials, call: Any, retries: int = 0) -> Any:
        async def run() -> Any:
            async with AsyncTransport(
                credentials, store=MemoryTokenStore(), policy=RetryPolicy(retries), timeout=30
            ) as transport:
                return await transport.send(call)

        return asyncio.run(run())

    return by_requests if request.param == "requests" else by_aiohttp
