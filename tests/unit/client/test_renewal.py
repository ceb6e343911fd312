"""The protocol by which tasks share a token, as pure policy: tasks of many hosts in one virtual time."""

from __future__ import annotations

import heapq
import json
import random
from itertools import count

import pytest
from hypothesis import given, settings, strategies as st

from airflow_provider_zohocrm.client import renewal
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.oauth import Token, read_token_answer, token_form
from airflow_provider_zohocrm.client.renewal import Ask, Mint, Pause, Renewal, Tell
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import (
    MemoryTokenStore,
    claim_name,
    json_object,
    token_name,
    token_of,
    token_text,
)
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)
from airflow_provider_zohocrm.simulator.options import Options
from airflow_provider_zohocrm.simulator.tokens import TokenServer

START = 1_800_000_000.0
LIFE = 3600.0
KEY = "k"


class PlainStore:
    """Reads and writes, as a Variable does."""

    def __init__(self):
        self.texts = {}

    def read(self, name):
        return self.texts.get(name)

    def write(self, name, text):
        self.texts[name] = text


class Zoho:
    """The simulator's accounts server, in the world's time: 10 tokens in 10 minutes, 15 alive."""

    def __init__(self, world):
        self.world = world
        self.server = TokenServer(self, Options(), seed_number=1)
        self.credentials = ZohoCredentials.from_fields(
            self.server.client_id, self.server.client_secret, {"refresh_token": self.server.refresh_token}
        )
        self.mints = []
        self.throttled = 0
        self.script = []

    def now(self):
        return self.world.now

    def mint(self, skew):
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        status, answer = self.server.answer(token_form(self.credentials), "")
        try:
            token = read_token_answer(
                self.credentials, status, {}, json.dumps(answer).encode(), self.now() + skew
            )
        except ZohoTokenThrottledError:
            self.throttled += 1
            raise
        self.mints.append(self.now())
        return token

    def takes(self, value):
        return self.server.find(value) is not None

    def throttle(self):
        """Let somebody else have minted 10 tokens just now."""
        for _ in range(10):
            self.server.answer(token_form(self.credentials), "")


class World:
    """Steps of many tasks in one order of time; each step takes effect somewhere within its duration."""

    def __init__(self, store=None, seed=0, latency=(0.0, 0.0), mint_time=(0.1, 0.3)):
        self.now = START
        self.store = store if store is not None else PlainStore()
        self.zoho = Zoho(self)
        self.random = random.Random(seed)
        self.latency = latency
        self.mint_time = mint_time
        self.queue = []
        self.order = count()
        self.found = []
        self.failed = []

    def at(self, seconds, action, *args):
        heapq.heappush(self.queue, (self.now + seconds, next(self.order), action, args))

    def run(self):
        while self.queue:
            self.now, _, action, args = heapq.heappop(self.queue)
            action(*args)

    def start(self, after=0.0, *, skew=0.0, latency=None, refused=(), retries=9, done=None, dies_after=None):
        """Let a task look for a token.

        :param skew: seconds by which its host's clock is ahead.
        :param latency: least and most seconds that one access to the store takes; those of the world if absent.
        :param dies_after: steps after which it is killed.
        """

        def begin():
            steps = Renewal(
                self.store,
                KEY,
                RetryPolicy(retries=retries),
                refused=refused,
                early=self.random.uniform(0.8, 1.2),
                now=lambda: self.now + skew,
                clock=lambda: self.now,
                uniform=self.random.uniform,
            ).find()
            host = (skew, latency or self.latency)
            self.advance(steps, steps.send, None, self.now, done or self.found.append, dies_after, host)

        self.at(after, begin)

    def advance(self, steps, resume, answer, begun, done, dies_after, host):
        try:
            step = resume(answer)
        except StopIteration as end:
            done(end.value)
            return
        except Exception as error:  # noqa: BLE001  # the test is told
            self.failed.append((error, self.now - begun))
            return
        if dies_after is not None:
            if dies_after == 0:
                return
            dies_after -= 1
        rest = (begun, done, dies_after, host)
        if isinstance(step, Pause):
            self.at(step.seconds, self.advance, steps, steps.send, None, *rest)
        elif isinstance(step, Tell):
            self.advance(steps, steps.send, None, *rest)
        else:
            before, after = (
                self.random.uniform(*(self.mint_time if isinstance(step, Mint) else host[1])) / 2
                for _ in range(2)
            )
            self.at(before, self.perform, step, after, steps, *rest)

    def perform(self, step, after, steps, begun, done, dies_after, host):
        try:
            answer = step.function(*step.args) if isinstance(step, Ask) else self.zoho.mint(host[0])
        except Exception as error:  # noqa: BLE001  # the task is told
            self.at(after, self.advance, steps, steps.throw, error, begun, done, dies_after, host)
        else:
            self.at(after, self.advance, steps, steps.send, answer, begun, done, dies_after, host)

    def put(self, value, left):
        token = Token(value, "", self.now + left, LIFE)
        self.store.write(token_name(KEY), token_text(token))

    @property
    def stored(self):
        return token_of(self.store.read(token_name(KEY)))

    @property
    def values(self):
        return {one.value for one in self.found}

    @property
    def claim(self):
        return json_object(self.store.read(claim_name(KEY)))


@pytest.fixture(params=[PlainStore, MemoryTokenStore])
def store(request):
    return request.param()


def test_a_stored_token_with_time_left_is_used_and_nothing_is_claimed(store):
    world = World(store)
    world.put("t", 1800)
    world.start()
    world.run()
    assert [one.value for one in world.found] == ["t"]
    assert (world.now, world.claim, world.zoho.mints) == (START, {}, [])


@pytest.mark.parametrize("stored", [None, 200, -5])
def test_200_tasks_that_start_at_once_mint_one_token(store, stored):
    world = World(store, latency=(0.01, 0.2))
    if stored is not None:
        world.put("old", stored)
    for number in range(200):
        world.start(number / 200)
    world.run()
    assert len(world.found) == 200
    assert len(world.zoho.mints) == 1
    assert world.values == {world.stored.value}
    assert world.now - START < 12


def test_one_task_alone_waits_a_moment_and_mints():
    world = World()
    world.start()
    world.run()
    assert [one.value for one in world.found] == [world.stored.value]
    assert world.now - START < 3
    assert world.claim["state"] == "released"


def test_a_store_that_swaps_needs_no_moment_to_settle():
    world = World(MemoryTokenStore(), mint_time=(0.0, 0.0))
    world.start()
    world.run()
    assert world.now == START


def test_a_refused_token_is_replaced_once_for_all(store):
    world = World(store, latency=(0.01, 0.1))
    world.put("dead", 3000)
    for number in range(50):
        world.start(number / 50, refused=["dead"])
    world.run()
    assert len(world.found) == 50
    assert world.values == {world.stored.value}


def test_a_token_other_than_the_refused_one_is_used_before_any_is_minted(store):
    world = World(store)
    world.put("other", -1800)
    world.start(refused=["dead"])
    world.run()
    assert [one.value for one in world.found] == ["other"]
    assert world.zoho.mints == []


def test_who_dies_while_it_mints_delays_the_others_by_less_than_a_minute(store):
    for steps in range(12):
        world = World(type(store)(), latency=(0.01, 0.05), seed=steps)
        world.start(dies_after=steps)
        for number in range(20):
            world.start(1 + number / 20)
        world.run()
        assert len(world.found) >= 20
        assert not world.failed
        assert len(world.zoho.mints) <= 2
        assert world.now - START < 60


def test_a_claim_left_behind_long_ago_delays_once():
    world = World()
    world.store.write(claim_name(KEY), json.dumps({"state": "minting", "by": "long gone", "number": 1}))
    world.start()
    world.run()
    assert 30 < world.now - START < 60
    begun = world.now
    world.at(2 * LIFE, world.start)
    world.run()
    assert world.now - begun - 2 * LIFE < 3
    assert len(world.zoho.mints) == 2


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"state": 7}', '{"state": "minting"}', "x" * 5000])
def test_a_damaged_claim_is_written_over(text):
    world = World()
    world.store.write(claim_name(KEY), text)
    world.start()
    world.run()
    assert len(world.found) == len(world.zoho.mints) == 1
    assert world.now - START < 60


def test_a_slow_accounts_server_makes_nobody_take_the_claim():
    world = World(mint_time=(29, 30), latency=(0.01, 0.1))
    for number in range(30):
        world.start(number / 30)
    world.run()
    assert len(world.zoho.mints) == 1
    assert len(world.found) == 30


def test_who_writes_slowly_over_a_claim_that_stands_gives_that_task_time_to_mint():
    world = World(mint_time=(20, 20))
    world.start(0, latency=(4, 4))  # reads that there is no claim at 6 s, writes its own at 10 s
    world.start(7)  # claims at 7 s, mints from 9 to 29 s
    world.run()
    assert len(world.found) == 2
    assert len(world.zoho.mints) == 1


def test_failures_that_pass_are_repeated_by_the_one_that_claimed():
    world = World(latency=(0.01, 0.1))
    world.zoho.script = [ZohoServerError("down", status=503), ZohoTransportError("reset"), None]
    for number in range(30):
        world.start(number / 30)
    world.run()
    assert len(world.zoho.mints) == 1
    assert not world.failed


def test_wrong_credentials_fail_all_that_wait_at_once_and_ask_zoho_once():
    world = World(latency=(0.01, 0.1))
    world.zoho.script = [ZohoAuthenticationError("gave no token: Zoho answered 200 invalid_code.")] * 100
    for number in range(100):
        world.start(number / 100)
    world.run()
    assert len(world.failed) == 100
    assert {type(error) for error, _ in world.failed} == {ZohoAuthenticationError}
    assert all("invalid_code" in str(error) for error, _ in world.failed)
    assert len(world.zoho.script) == 99
    assert world.now - START < 15


def test_the_next_task_asks_zoho_anew():
    world = World()
    world.zoho.script = [ZohoAuthenticationError("invalid_code")]
    world.start()
    world.start(60)
    world.run()
    assert (len(world.failed), len(world.found)) == (1, 1)


def test_one_task_without_retries_does_not_fail_those_that_have_some():
    world = World(latency=(0.01, 0.1))
    world.zoho.script = [ZohoServerError("down", status=503)]
    world.start(retries=0)
    for number in range(20):
        world.start(0.5 + number / 20)
    world.run()
    assert (len(world.failed), len(world.found)) == (1, 20)


def test_a_throttle_is_outwaited_by_one_that_asks_each_minute():
    world = World(latency=(0.01, 0.1))
    world.zoho.throttle()
    for number in range(100):
        world.start(number / 100)
    world.run()
    assert not world.failed
    assert len(world.zoho.mints) == 1
    assert 600 <= world.now - START < 680
    assert world.zoho.throttled <= 12


def test_when_zoho_mints_no_more_the_store_is_read_before_waiting():
    world = World(mint_time=(1, 1))
    world.zoho.throttle()
    world.start()
    world.at(2.0, lambda: world.put("elsewhere", LIFE))
    world.run()
    assert [one.value for one in world.found] == ["elsewhere"]
    assert world.now - START < 4


def test_a_throttle_that_lasts_fails_all_with_the_reason():
    world = World(latency=(0.01, 0.1))
    world.zoho.script = [ZohoTokenThrottledError("Access Denied")] * 100
    for number in range(50):
        world.start(number / 50)
    world.run()
    assert len(world.failed) == 50
    assert {type(error) for error, _ in world.failed} == {ZohoTokenThrottledError}
    assert max(took for _, took in world.failed) < 780


HOUR = 3600.0


@pytest.mark.parametrize("skews", [[HOUR, 0.0], [0.0, HOUR], [-HOUR, 0.0], [0.0, -HOUR], [HOUR, -HOUR, 0.0]])
def test_hosts_whose_clocks_differ_by_an_hour_share_one_token_when_they_start_together(skews):
    world = World(latency=(0.01, 0.1))
    for number in range(60):
        world.start(number / 60, skew=skews[number % len(skews)])
    world.run()
    assert len(world.zoho.mints) == 1
    assert not world.failed


def fail(*_):
    raise OSError("the database is away")


@pytest.mark.parametrize(
    ("method", "damaged"),
    [
        ("read", fail),
        ("write", fail),
        ("read", lambda _: None),
        ("read", lambda _: "{}"),
        ("write", lambda *_: None),
    ],
    ids=["unreadable", "read-only", "reads nothing", "reads something else", "forgets"],
)
def test_a_store_that_fails_is_replaced_by_the_memory_of_the_process(method, damaged, caplog):
    world = World()
    setattr(world.store, method, damaged)
    for _ in range(3):
        world.start(20)
    world.run()
    assert len(world.values) == len(world.zoho.mints) == 1
    begun = world.now
    world.start()
    world.run()
    assert world.now == begun  # a store that failed just now is not asked again
    assert caplog.text.count("cannot be shared") == 1
    assert "away" not in caplog.text


def test_a_store_that_fails_for_a_moment_is_used_again():
    world = World()
    write, failures = world.store.write, [OSError(), OSError()]

    def fail_twice(*args):
        if failures:
            raise failures.pop()
        write(*args)

    world.store.write = fail_twice
    world.start()
    world.run()
    assert world.values == {world.stored.value}
    assert renewal._unshared == {}


def test_a_store_that_has_failed_is_tried_again_after_some_minutes():
    world = World()
    write = world.store.write
    world.store.write = fail
    world.start()
    world.run()
    world.store.write = write
    world.start(3700)
    world.run()
    assert len(world.zoho.mints) == 2
    assert world.found[-1].value == world.stored.value


latencies = st.sampled_from([0.0, 0.05, 0.5, 2.0])
tasks = st.lists(
    st.tuples(
        st.floats(0, 3),
        st.sampled_from([0.0, HOUR, -HOUR]),
        st.none() | st.integers(0, 15),  # steps until it is killed
        st.booleans(),  # whether it was told that the stored token is refused
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(
    tasks=tasks,
    latency=latencies,
    mint=st.sampled_from([0.0, 0.3, 5.0, 25.0]),
    stored=st.none() | st.sampled_from([-10.0, 100.0]),
    swaps=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_however_the_steps_interleave_few_mint_and_nobody_waits_for_ever(
    tasks, latency, mint, stored, swaps, seed
):
    renewal._unshared.clear()
    store = MemoryTokenStore() if swaps else PlainStore()
    world = World(store, seed, (0.0, latency), (mint, mint))
    if stored is not None:
        world.put("stored", stored)
    for after, skew, dies, refused in tasks:
        world.start(after, skew=skew, dies_after=dies, refused=["stored"] if refused else ())
    world.run()
    killed = sum(dies is not None for _, _, dies, _ in tasks)
    assert not world.failed
    assert len(world.found) >= len(tasks) - killed
    # One for all, and one more for each that was killed with a claim; hosts whose clocks differ may not take the
    # token that was there before the first of their tasks began.
    assert len(world.zoho.mints) <= 3 + killed
    assert world.now - START < 60 * (2 + killed)
    assert all(one.value == "stored" or world.zoho.takes(one.value) for one in world.found)


def day_of_tasks(seed, tasks=5000, skews=(0.0,), swaps=False, revoked=()):
    """Run a day: bursts on the hour and tasks in between; some run for long and make calls all the time."""
    world = World(MemoryTokenStore() if swaps else PlainStore(), seed, (0.01, 0.3))
    calls = {"made": 0, "failed": 0}

    def call(token, refused, skew, left):
        calls["made"] += 1
        if not world.zoho.takes(token.value):
            if (refused and token.new) or len(refused) == 2:
                calls["failed"] += 1
                return
            refused = (*refused, token.value)
            world.start(skew=skew, refused=refused, done=lambda new: call(new, refused, skew, left))
        elif left > 0:
            early = world.random.uniform(0.8, 1.2)
            pause = world.random.uniform(1, 600)

            def next_call():
                if token.is_usable(world.now + skew, early):
                    call(token, (), skew, left - pause)
                else:
                    world.start(skew=skew, done=lambda new: call(new, (), skew, left - pause))

            world.at(pause, next_call)

    def task(skew, run_time):
        world.start(skew=skew, done=lambda token: call(token, (), skew, run_time))

    for number in range(tasks):
        hour = world.random.randrange(24) * HOUR
        begin = hour + (world.random.uniform(0, 1) if number % 2 else world.random.uniform(0, HOUR))
        run_time = world.random.choice([0, 5, 60, 600] + [7200] * (number % 50 == 0))
        world.at(begin, task, skews[number % len(skews)], run_time)
    for moment in revoked:
        world.at(moment, world.zoho.server.kill_all)
    world.run()
    return world, calls


@pytest.mark.parametrize("swaps", [False, True])
def test_over_a_day_of_5000_tasks_the_window_is_never_reached(swaps):
    revoked = [3 * HOUR + 100, 3 * HOUR + 150, 9 * HOUR, 9 * HOUR + 30, 20 * HOUR + 0.5]
    world, calls = day_of_tasks(7, swaps=swaps, revoked=revoked)
    assert calls["made"] > 5000
    assert calls["failed"] == 0
    assert not world.failed
    assert world.zoho.throttled == 0
    # A token an hour, and one for each time they were revoked; 10 in 10 minutes would be 1,440.
    assert len(world.zoho.mints) <= 24 * LIFE / (LIFE - 360) + 2 * len(revoked) + 3
    assert most_in_window(world.zoho.mints) <= 4


@pytest.mark.parametrize("skews", [(0.0, HOUR), (0.0, -HOUR), (-HOUR, 0.0, HOUR)])
def test_over_a_day_on_hosts_whose_clocks_differ_by_an_hour_the_window_is_never_reached(skews):
    world, calls = day_of_tasks(11, skews=skews, revoked=[5 * HOUR + 1])
    assert calls["failed"] == 0
    assert not world.failed
    assert world.zoho.throttled == 0
    assert most_in_window(world.zoho.mints) <= 4
    assert len(world.zoho.mints) < 24 * 3


def most_in_window(moments, window=600):
    return max(sum(one - window < other <= one for other in moments) for one in moments)
