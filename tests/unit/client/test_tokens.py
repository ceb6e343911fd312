from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore, minting, usable
from airflow_provider_zohocrm.exceptions import ZohoTokenThrottledError

NOW = 1_800_000_000.0
FRESH = Token("fresh", "https://www.zohoapis.com", NOW + 3600, 3600)
STALE = Token("stale", "https://www.zohoapis.com", NOW + 30, 3600)
ORG = Call("GET", "/crm/v8/org")


def test_a_memory_store_keeps_the_last_token_of_each_key():
    store = MemoryTokenStore()
    store.save("a", STALE)
    store.save("a", FRESH)
    assert store.load("a") is FRESH
    assert store.load("b") is None


@pytest.mark.parametrize(
    ("token", "refused", "expected"),
    [
        (None, None, None),
        (FRESH, None, FRESH),
        (FRESH, "another", FRESH),
        (FRESH, "fresh", None),
        (STALE, None, None),
    ],
)
def test_which_stored_token_may_be_used(token, refused, expected):
    assert usable(token, refused, NOW) is expected


def test_there_is_one_lock_for_a_key():
    assert minting("k1") is minting("k1")
    assert minting("k1") is not minting("k2")


def test_threads_of_one_transport_mint_one_token(wire):
    wire.script = [(200, {"org": [{}]}, {}) for _ in range(16)]
    transport = wire.transport()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: transport.send(ORG), range(16)))
    assert answers == [{"org": [{}]}] * 16
    assert wire.minted == 1


def test_transports_that_share_a_store_mint_one_token(wire):
    store = MemoryTokenStore()
    wire.script = [(200, {"org": [{}]}, {}) for _ in range(16)]
    gate = threading.Barrier(16)

    def run(_):
        transport = wire.transport(store=store)
        gate.wait(10)
        return transport.send(ORG)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(16))) == [{"org": [{}]}] * 16
    assert wire.minted == 1


def test_threads_whose_token_is_refused_at_once_mint_one_more(wire, clock):
    class Refusing(list):
        """Refuses the stocked token, takes any other."""

        def __bool__(self):
            return True

        def pop(self, _):
            last = wire.calls[-1].headers["Authorization"]
            if last.endswith("stocked"):
                return (401, {"code": "INVALID_TOKEN", "message": "invalid oauth token"}, {})
            return (200, {"org": [{}]}, {})

    wire.script = Refusing()
    transport = wire.transport(store=wire.stocked(clock))
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda _: transport.send(ORG), range(24))) == [{"org": [{}]}] * 24
    assert wire.minted == 1


def test_threads_of_one_transport_mint_one_token_though_the_store_loses_it(wire):
    class Leaky(MemoryTokenStore):
        def load(self, key):
            return None

    wire.script = [(200, {"org": [{}]}, {}) for _ in range(8)]
    gate = threading.Barrier(8)
    transport = wire.transport(store=Leaky())

    def run(_):
        gate.wait(10)
        return transport.send(ORG)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == [{"org": [{}]}] * 8
    assert wire.minted == 1


def test_a_new_transport_uses_the_stored_token(zoho):
    store = MemoryTokenStore()
    zoho.answer("GET", "/crm/v8/org", {"org": [1]}, {"org": [2]})
    zoho.transport(store=store).send(ORG)
    zoho.transport(store=store).send(ORG)
    assert zoho.minted == 1
    assert {call.headers["Authorization"] for call in zoho.calls} == {"Zoho-oauthtoken 1000.atoken-1"}


def test_a_token_near_its_end_is_replaced_before_it_is_refused(zoho, clock):
    zoho.answer("GET", "/crm/v8/org", {"org": [1]}, {"org": [2]}, {"org": [3]})
    transport = zoho.transport()
    transport.send(ORG)
    clock.now += 3000
    transport.send(ORG)
    assert zoho.minted == 1
    clock.now += 550
    transport.send(ORG)
    assert zoho.minted == 2
    assert zoho.calls[-1].headers["Authorization"].endswith("atoken-2")


def test_a_token_refused_here_but_replaced_by_another_process_costs_no_mint(zoho, clock):
    store = MemoryTokenStore()
    transport = zoho.transport(store=store)
    refused = (401, {"code": "INVALID_TOKEN", "message": "invalid oauth token"}, {})
    zoho.answer("GET", "/crm/v8/org", {"org": [1]}, refused, {"org": [2]})
    transport.send(ORG)
    store.save(transport.credentials.token_key, Token("1000.elsewhere", "", clock.now + 3600, 3600))
    assert transport.send(ORG) == {"org": [2]}
    assert zoho.minted == 1
    assert zoho.calls[-1].headers["Authorization"] == "Zoho-oauthtoken 1000.elsewhere"


@pytest.mark.parametrize("status", [200, 400])
def test_a_throttled_mint_is_tried_once_and_waits_for_nobody(wire, clock, status):
    wire.token_script = [(status, {"error": "Access Denied", "status": "failure"}, {})]
    with pytest.raises(ZohoTokenThrottledError):
        wire.transport().send(ORG)
    assert wire.minted == 1
    assert (clock.slept, wire.calls) == ([], [])


def test_every_new_token_is_told_before_its_first_use(zoho):
    told = []
    zoho.answer("GET", "/crm/v8/org", (401, {"code": "INVALID_TOKEN"}, {}), {"org": [1]})
    transport = zoho.transport(on_token=lambda value: told.append((value, len(zoho.calls))))
    transport.send(ORG)
    assert told == [("1000.atoken-1", 0), ("1000.atoken-2", 1)]
