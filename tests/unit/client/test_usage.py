from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest

from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.client import AsyncZohoCRMClient
from airflow_provider_zohocrm.client.usage import Usage, added, no_counts
from airflow_provider_zohocrm.exceptions import (
    ZohoConfigurationError,
    ZohoCreditLimitError,
    ZohoLowCreditsError,
    ZohoRateLimitError,
)

ORG = "/crm/v8/org"
LEFT = "X-API-CREDITS-REMAINING"
REFUSED = (429, {"code": "TOO_MANY_REQUESTS", "message": "too many", "details": {}, "status": "error"}, {})


def call(credits_=1):
    return Call("GET", ORG, credits=credits_)


def told(left):
    return (200, {"org": [{}]}, {LEFT: str(left)})


@pytest.mark.parametrize(
    ("left", "min_remaining", "cost", "stops"),
    [
        (1000, 999, 1, False),
        (1000, 1000, 1, True),
        (1000, 951, 50, True),
        (1000, 950, 50, False),
        (0, None, 1, False),
        (0, 0, 1, False),
        (-3, 1, 1, True),
        (None, 1000, 1, False),
    ],
)
def test_a_call_is_sent_only_if_enough_is_left_after_it(left, min_remaining, cost, stops):
    usage = Usage(min_remaining=min_remaining)
    if left is not None:
        usage.answered(200, {LEFT: str(left)}, 0.1)
    if not stops:
        usage.spend(call(cost))
        assert usage.credits == cost
        return
    with pytest.raises(ZohoLowCreditsError) as refused:
        usage.spend(call(cost))
    assert (refused.value.remaining, refused.value.wanted) == (left, min_remaining)
    assert isinstance(refused.value, ZohoCreditLimitError)
    assert usage.credits == 0


def test_what_was_spent_since_zoho_told_counts():
    usage = Usage(min_remaining=900)
    usage.answered(200, {LEFT: "1000"}, 0.1)
    usage.spend(call(60))
    with pytest.raises(ZohoLowCreditsError, match="costs 60 API credits, the organisation has 940 left"):
        usage.spend(call(60))
    usage.answered(200, {}, 0.1)
    with pytest.raises(ZohoLowCreditsError):
        usage.spend(call(60))
    usage.answered(200, {LEFT: "1000"}, 0.1)
    usage.spend(call(60))


def test_the_text_tells_what_is_left_what_is_wanted_and_what_to_do():
    usage = Usage(min_remaining=5000)
    usage.answered(200, {LEFT: "4200"}, 0.1)
    with pytest.raises(ZohoLowCreditsError) as refused:
        usage.spend(Call("POST", "/crm/bulk/v8/read", credits=50))
    assert str(refused.value) == (
        "POST /crm/bulk/v8/read was not sent: it costs 50 API credits, the organisation has 4,200 left, and "
        "min_credits_remaining keeps 5,000 for its users. What is finished is kept. Credits come back 24 hours after "
        "they were spent: run the task later, lower min_credits_remaining (operator or connection), or buy credits."
    )


@pytest.mark.parametrize("header", ["", "soon", "1.5", "\x00"])
def test_a_header_that_is_no_number_tells_nothing(header):
    usage = Usage(min_remaining=10)
    usage.answered(200, {LEFT: header}, 0.1)
    assert usage.remaining is None
    usage.spend(call())


def test_counts_add_up_and_the_later_word_on_the_rest_holds():
    before = {**no_counts(), "calls": 2, "credits": 51, "credits_remaining": 900, "seconds": 1.5}
    after = {**no_counts(), "calls": 1, "credits": 1, "rate_limited": 3, "tokens_minted": 1, "seconds": 0.25}
    assert added(before, after) == {
        "calls": 3,
        "credits": 52,
        "credits_remaining": 900,
        "rate_limited": 3,
        "tokens_minted": 1,
        "seconds": 1.75,
    }
    assert added(before, {**after, "credits_remaining": 7})["credits_remaining"] == 7


# --- the transports ----------------------------------------------------------------------------------------------


def test_the_transport_counts_calls_refusals_and_tokens(zoho, clock):
    transport = zoho.transport()
    zoho.answer("GET", ORG, REFUSED, told(4321))
    transport.send(call())
    counts = transport.usage.counts
    assert counts.pop("seconds") >= 0
    assert counts == {
        "calls": 2,
        "credits": 2,
        "credits_remaining": 4321,
        "rate_limited": 1,
        "tokens_minted": 1,
    }


def test_the_asynchronous_transport_counts_for_whom_it_works(wire, clock):
    wire.script = [REFUSED, told(4321), told(4320)]

    async def run():
        async with wire.aio() as transport:
            first, second = AsyncZohoCRMClient(transport), AsyncZohoCRMClient(transport)
            await transport.send(call(), first.usage)
            await transport.send(call(), second.usage)
            return first.usage.counts, second.usage.counts

    first, second = asyncio.run(run())
    assert (first["calls"], first["rate_limited"], first["tokens_minted"]) == (2, 1, 1)
    assert (second["calls"], second["rate_limited"], second["tokens_minted"]) == (1, 0, 0)
    assert (first["credits_remaining"], second["credits_remaining"]) == (4321, 4320)


def test_an_answer_that_tells_of_too_few_is_returned_and_the_next_call_is_not_sent(zoho):
    transport = zoho.transport(min_credits_remaining="500")
    zoho.answer("GET", ORG, told(400))
    assert transport.send(call()) == {"org": [{}]}
    with pytest.raises(ZohoLowCreditsError):
        transport.send(call())
    assert len(zoho.calls) == 1


def test_the_asynchronous_transport_stops_too(wire):
    wire.script = [told(400)]

    async def run():
        async with wire.aio() as transport:
            usage = Usage(min_remaining=500)
            await transport.send(call(), usage)
            with pytest.raises(ZohoLowCreditsError):
                await transport.send(call(), usage)

    asyncio.run(run())
    assert len(wire.calls) == 1


def test_a_call_that_is_not_sent_gives_its_slot_back(zoho):
    transport = zoho.transport(min_credits_remaining="500")
    zoho.answer("GET", ORG, told(400))
    transport.send(call())
    for _ in range(2 * transport.limiter.limit):
        with pytest.raises(ZohoLowCreditsError):
            transport.send(call())


@pytest.mark.parametrize("given", ["many", "-1", "1.5"])
def test_the_field_of_the_connection_is_a_whole_number(make_credentials, given):
    with pytest.raises(ZohoConfigurationError, match="min_credits_remaining"):
        make_credentials(min_credits_remaining=given)


@pytest.mark.parametrize(
    ("given", "bound"), [("", None), (None, None), ("0", 0), (5000, 5000), ("5000", 5000)]
)
def test_the_field_of_the_connection_may_be_text_or_a_number(make_credentials, given, bound):
    assert make_credentials(min_credits_remaining=given).min_credits_remaining == bound


# --- 429 that lasts ------------------------------------------------------------------------------------------------


def refused_for_good(zoho, answer, **options):
    transport = zoho.transport(retries=1, **options)
    zoho.answer("GET", ORG, answer, answer)
    with pytest.raises(ZohoRateLimitError) as refused:
        transport.send(call())
    return refused.value


def test_a_429_that_lasts_tells_when_credits_come_back(zoho, clock):
    clock.now = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc).timestamp()
    clock.sleep = lambda _: None
    error = refused_for_good(zoho, REFUSED)
    assert error.retry_at == datetime(2026, 11, 22, 9, 0, tzinfo=timezone.utc)
    assert "If the API credits are used up: some may be back at 2026-11-22 09:00 UTC" in str(error)
    assert str(error).endswith("all of them by 2026-11-23 08:00 UTC.")


def test_credits_that_are_known_to_be_used_up_are_told_so(zoho, clock):
    error = refused_for_good(zoho, (429, REFUSED[1], {LEFT: "0"}))
    assert ". The API credits are used up: some may be back at" in str(error)


def test_the_time_zoho_names_holds(zoho, clock):
    begun = clock.now
    error = refused_for_good(zoho, (429, REFUSED[1], {"Retry-After": "120"}))
    assert error.retry_at.timestamp() == begun + 120 + 120
    assert "Zoho wants to be called again at" in str(error)


def test_a_time_that_is_too_far_away_is_not_waited_for_but_told(zoho, clock):
    begun = clock.now
    error = refused_for_good(zoho, (429, REFUSED[1], {"Retry-After": "7200"}))
    assert (error.retry_at.timestamp(), clock.slept) == (begun + 7200, [])


def test_the_asynchronous_transport_tells_it_too(wire, clock):
    wire.script = [REFUSED]

    async def run():
        async with wire.aio(retries=0) as transport:
            await transport.send(call(), Usage())

    with pytest.raises(ZohoRateLimitError, match="some may be back at") as refused:
        asyncio.run(run())
    assert refused.value.retry_at.timestamp() == clock.now + 3600


def test_too_many_calls_slow_the_process_down_and_too_many_downloads_do_not(zoho):
    transport = zoho.transport(retries=0)
    most = transport.limiter.limit
    zoho.answer("GET", "/result", REFUSED)
    zoho.answer("GET", ORG, REFUSED)
    with pytest.raises(ZohoRateLimitError):
        transport.send(Call("GET", "/result", pause=60.0))
    assert transport.limiter.limit == most
    with pytest.raises(ZohoRateLimitError):
        transport.send(call())
    assert transport.limiter.limit == 1
