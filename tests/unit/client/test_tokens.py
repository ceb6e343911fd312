from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import (
    MemoryTokenStore,
    SwappingTokenStore,
    TokenStore,
    claim_name,
    json_object,
    minting,
    token_name,
    token_of,
    token_text,
    usable,
)
from airflow_provider_zohocrm.exceptions import ZohoAuthenticationError, ZohoTokenThrottledError

NOW = 1_800_000_000.0
FRESH = Token("fresh", "https://www.zohoapis.com", NOW + 3600, 3600)
STALE = Token("stale", "https://www.zohoapis.com", NOW + 30, 3600)
ORG = Call("GET", "/crm/v8/org")
REFUSED = (401, {"code": "INVALID_TOKEN", "message": "invalid oauth token"}, {})


def put(store, transport, token):
    store.write(token_name(transport.credentials.token_key), token_text(token))


def test_a_memory_store_keeps_the_last_text_of_each_name():
    store = MemoryTokenStore()
    store.write("a", "1")
    store.write("a", "2")
    assert store.read("a") == "2"
    assert store.read("b") is None


def test_a_memory_store_swaps_only_what_is_still_there():
    store = MemoryTokenStore()
    assert store.swap("a", None, "1")
    assert not store.swap("a", None, "2")
    assert not store.swap("a", "0", "2")
    assert store.swap("a", "1", "2")
    assert store.read("a") == "2"


def test_a_store_of_ones_own_needs_two_methods():
    class Plain:
        def read(self, name):
            return None

        def write(self, name, text):
            pass

    store: TokenStore = Plain()
    assert not isinstance(store, SwappingTokenStore)
    assert isinstance(MemoryTokenStore(), SwappingTokenStore)


def test_a_stored_token_comes_back_as_it_was():
    assert token_of(token_text(FRESH)) == FRESH


def test_the_names_of_what_is_stored_make_airflow_mask_it():
    assert "token" in token_name("k")
    assert "token" in claim_name("k")
    assert token_name("k") != claim_name("k")


@pytest.mark.parametrize(
    ("token", "refused", "expected"),
    [
        (None, (), None),
        (FRESH, (), FRESH),
        (FRESH, ["another"], FRESH),
        (FRESH, ["another", "fresh"], None),
        (STALE, (), None),
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
        def read(self, name):
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


def test_tasks_replace_a_token_4_to_6_minutes_before_its_end_each_at_its_own_time(zoho):
    earlies = {zoho.transport()._held._early for _ in range(50)}
    assert len(earlies) == 50
    assert max(earlies) <= 1.2
    assert min(earlies) >= 0.8
    assert FRESH.is_usable(FRESH.expires_at - 241, 0.8)
    assert not FRESH.is_usable(FRESH.expires_at - 241, 1.2)
    assert not FRESH.is_usable(FRESH.expires_at - 239, 0.8)


@pytest.mark.parametrize("left", [3600, -3600])
def test_a_token_refused_here_but_replaced_by_another_task_costs_no_mint(zoho, clock, left):
    # With 3,600 seconds less than none left by this host's clock, it may still be alive by that of its maker.
    store = MemoryTokenStore()
    transport = zoho.transport(store=store)
    zoho.answer("GET", "/crm/v8/org", {"org": [1]}, REFUSED, {"org": [2]}, {"org": [3]})
    transport.send(ORG)
    put(store, transport, Token("1000.elsewhere", "", clock.now + left, 3600))
    assert transport.send(ORG) == {"org": [2]}
    assert transport.send(ORG) == {"org": [3]}
    assert zoho.minted == 1
    assert zoho.calls[-1].headers["Authorization"] == "Zoho-oauthtoken 1000.elsewhere"


def test_a_stored_token_that_is_refused_too_is_followed_by_a_new_one(zoho, clock):
    store = MemoryTokenStore()
    transport = zoho.transport(store=store)
    zoho.answer("GET", "/crm/v8/org", {"org": [1]}, REFUSED, REFUSED, {"org": [2]})
    transport.send(ORG)
    put(store, transport, Token("1000.elsewhere", "", clock.now + 3600, 3600))
    assert transport.send(ORG) == {"org": [2]}
    assert zoho.minted == 2


def test_a_new_token_that_is_refused_is_followed_by_no_other(zoho, clock):
    store = MemoryTokenStore()
    transport = zoho.transport(store=store)
    zoho.answer("GET", "/crm/v8/org", *[REFUSED] * 3)
    put(store, transport, Token("1000.elsewhere", "", clock.now + 3600, 3600))
    with pytest.raises(ZohoAuthenticationError):
        transport.send(ORG)
    assert zoho.minted == 1
    assert len(zoho.calls) == 2


@pytest.mark.parametrize("status", [200, 400])
def test_when_zoho_mints_no_more_another_tasks_token_is_used_at_once(wire, clock, status):
    store = MemoryTokenStore()
    transport = wire.transport(store=store)

    class Throttled(list):
        """Refuses to mint, while another task, which was not, stores its token."""

        def pop(self, _):
            put(store, transport, Token("1000.elsewhere", wire.url, clock.now + 3600, 3600))
            return (status, {"error": "Access Denied", "status": "failure"}, {})

    wire.token_script = Throttled([1])
    wire.script = [(200, {"org": [{}]}, {})]
    assert transport.send(ORG) == {"org": [{}]}
    assert (wire.minted, clock.slept) == (1, [])
    assert wire.calls[0].headers["Authorization"] == "Zoho-oauthtoken 1000.elsewhere"


def test_when_zoho_mints_no_more_it_is_asked_again_every_minute_until_its_window_is_over(wire, clock):
    wire.token_script = [(200, {"error": "Access Denied", "status": "failure"}, {})] * 50
    with pytest.raises(ZohoTokenThrottledError, match="10 tokens in 10 minutes"):
        wire.transport().send(ORG)
    assert 600 < sum(clock.slept) < 720
    assert wire.minted == 12
    assert wire.calls == []


def test_a_throttle_that_ends_fails_nobody(wire, clock):
    wire.token_script = [(200, {"error": "Access Denied", "status": "failure"}, {})] * 3
    wire.script = [(200, {"org": [{}]}, {})]
    assert wire.transport().send(ORG) == {"org": [{}]}
    assert sum(clock.slept) == 180


def test_without_retries_a_throttled_mint_is_not_waited_for(wire, clock):
    wire.token_script = [(200, {"error": "Access Denied", "status": "failure"}, {})]
    with pytest.raises(ZohoTokenThrottledError):
        wire.transport(retries=0).send(ORG)
    assert (wire.minted, clock.slept, wire.calls) == (1, [], [])


def test_a_task_that_can_get_no_token_leaves_no_claim_behind(wire):
    store = MemoryTokenStore()
    wire.token_script = [(200, {"error": "invalid_code"}, {})]
    transport = wire.transport(store=store)
    with pytest.raises(ZohoAuthenticationError):
        transport.send(ORG)
    assert json_object(store.read(claim_name(transport.credentials.token_key)))["state"] == "released"


def test_a_stored_token_is_told_before_its_first_use_whether_or_not_it_is_used(zoho, clock):
    store = MemoryTokenStore()
    told = []
    zoho.answer("GET", "/crm/v8/org", {"org": [1]})
    transport = zoho.transport(store=store, on_token=lambda value: told.append((value, len(zoho.requests))))
    put(store, transport, Token("1000.old", "", clock.now, 3600))
    transport.send(ORG)
    assert told == [("1000.old", 0), ("1000.atoken-1", 1)]


def test_every_new_token_is_told_before_its_first_use(zoho):
    told = []
    zoho.answer("GET", "/crm/v8/org", (401, {"code": "INVALID_TOKEN"}, {}), {"org": [1]})
    transport = zoho.transport(on_token=lambda value: told.append((value, len(zoho.calls))))
    transport.send(ORG)
    assert told == [("1000.atoken-1", 0), ("1000.atoken-2", 1)]
