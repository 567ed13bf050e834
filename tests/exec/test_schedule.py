"""Queries give way and wait without holding the loop."""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from greenlet import greenlet

from rethought.exec.env import Env, Killed
from rethought.exec.schedule import (
    IDLE_MAX,
    LITTLE_S,
    NEAR_MAX,
    NEAR_S,
    ROUND_S,
    SHORT,
    Line,
    Scheduler,
    Usage,
)
from rethought.limits import Limits


def scheduled(check: Callable[[Scheduler, Callable[[], Env]], Any]) -> None:
    """Runs a test on a loop of its own."""

    async def run() -> None:
        # Slices are so long that what is short fits into one on a busy machine too.
        scheduler = Scheduler(asyncio.get_running_loop(), slice_seconds=0.02)
        await check(scheduler, lambda: Env(None, None, None, Limits(), scheduler))

    asyncio.run(run())


def use_up(scheduler: Scheduler) -> None:
    """Works for a whole slice."""
    end = perf_counter() + scheduler.slice_seconds
    while perf_counter() <= end:
        pass


def much() -> Usage:
    """Of a client that used much lately."""
    usage = Usage()
    usage.round = int(perf_counter() / ROUND_S)
    usage.seconds = 100 * LITTLE_S
    return usage


def test_work_that_never_pauses_runs_at_once() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        done: list[int] = []
        scheduler.spawn(lambda: done.append(1))
        assert done == [1]

    scheduled(check)


def test_paused_work_takes_turns() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()

        def work(name: str) -> None:
            env = make()
            for _ in range(3):
                order.append(name)
                scheduler.pause(env)
            if len(order) == 6 and not ended.done():
                ended.set_result(None)

        scheduler.spawn(lambda: work("a"))
        scheduler.spawn(lambda: work("b"))
        await ended
        assert order == ["a", "b"] * 3

    scheduled(check)


def test_work_that_begins_after_the_slice_was_used_waits_for_the_next_turn() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()
        greedy = make()
        greedy.client = SimpleNamespace(usage=much(), user="admin")

        def long() -> None:
            use_up(scheduler)
            scheduler.pause(greedy)
            order.append("long")
            ended.set_result(None)

        scheduler.spawn(long, much())
        assert scheduler.busy
        scheduler.spawn(lambda: order.append("short"), Usage())
        scheduler.spawn(lambda: order.append("next"), Usage())
        assert order == []
        await ended
        assert order == ["short", "next", "long"]

    scheduled(check)


def test_who_used_little_comes_before_those_who_used_much() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()

        def last() -> None:
            order.append("much")
            ended.set_result(None)

        scheduler.spawn(lambda: use_up(scheduler))
        scheduler.spawn(last, much())
        scheduler.spawn(lambda: order.append("little"), Usage())
        assert scheduler.waiting == 2
        assert not scheduler.quiet
        await ended
        assert order == ["little", "much"]
        assert scheduler.quiet

    scheduled(check)


def test_whoever_used_much_is_passed_over_once_at_most() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()

        def little() -> None:
            order.append("little")
            use_up(scheduler)
            if len(order) == 7:
                ended.set_result(None)

        scheduler.spawn(lambda: use_up(scheduler))
        for _ in range(6):
            scheduler.spawn(little, Usage())
            scheduler.spawn(lambda: order.append("much"), much())
        await ended
        assert order[:6] == ["little", "much", "little", "little", "much", "little"]

    scheduled(check)


def test_what_a_client_used_is_forgotten() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()
        rested = much()
        rested.round -= 10

        def last() -> None:
            order.append("much")
            ended.set_result(None)

        scheduler.spawn(lambda: use_up(scheduler))
        scheduler.spawn(lambda: None)
        await asyncio.sleep(0)  # a turn, which tells the scheduler the time
        scheduler.spawn(lambda: use_up(scheduler))
        scheduler.spawn(last, much())
        scheduler.spawn(lambda: order.append("rested"), rested)
        await ended
        assert order == ["rested", "much"]

    scheduled(check)


def test_clients_take_turns_however_many_queries_they_have() -> None:
    line = Line()
    one, other = Usage(), Usage()
    order: list[str] = []
    for number in range(3):
        line.add(one, lambda number=number: order.append(f"one {number}"))  # type: ignore[misc]
    line.add(other, lambda: order.append("other"))
    assert len(line) == 4
    while line:
        _, work = line.next()
        assert not isinstance(work, greenlet)
        work()
    assert order == ["one 0", "other", "one 1", "one 2"]


def test_work_that_waited_for_something_waits_for_its_turn_too() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        loop = asyncio.get_running_loop()
        future, ended = loop.create_future(), loop.create_future()

        def waiting() -> None:
            scheduler.wait(make(), future)
            ended.set_result(None)

        scheduler.spawn(waiting)
        future.set_result(None)
        scheduler.spawn(lambda: use_up(scheduler))
        await asyncio.sleep(0)
        assert scheduler.waiting == 1
        await ended

    scheduled(check)


def test_what_is_discarded_goes_a_lot_at_a_time() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        things: list[Any] = [[] for _ in range(100)]
        seen: list[int] = []

        class Slow:
            def __del__(self) -> None:
                use_up(scheduler)

        things[90] = Slow()
        scheduler.discard(things, 5)
        assert len(things) == 100
        assert not scheduler.quiet
        while things:
            await asyncio.sleep(0)
            seen.append(len(things))
        assert seen[0] == 90  # others had their turn after that lot
        assert scheduler.quiet

    scheduled(check)


def test_the_loop_runs_between_two_slices() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        loop = asyncio.get_running_loop()
        seen: list[str] = []
        ended = loop.create_future()

        def work() -> None:
            loop.call_soon(seen.append, "loop")
            scheduler.pause(make())
            seen.append("work")
            ended.set_result(None)

        scheduler.spawn(work)
        await ended
        assert seen == ["loop", "work"]

    scheduled(check)


def test_waiting_gives_the_result_of_the_future() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        future = asyncio.get_running_loop().create_future()
        got: list[int] = []
        scheduler.spawn(lambda: got.append(scheduler.wait(make(), future)))
        assert got == []
        future.set_result(7)
        await asyncio.sleep(0)
        assert got == [7]

    scheduled(check)


@pytest.mark.parametrize("where", ["pause", "wait"])
def test_a_cancelled_query_ends_where_it_stopped(where: str) -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        env = make()
        loop = asyncio.get_running_loop()
        ended: list[str] = []

        def work() -> None:
            try:
                if where == "pause":
                    while True:
                        scheduler.pause(env)
                else:
                    scheduler.wait(env, loop.create_future())
            except Killed:
                ended.append("killed")

        scheduler.spawn(work)
        env.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert ended == ["killed"]

    scheduled(check)


def test_idle_workers_are_used_again_and_bounded() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        futures = [asyncio.get_running_loop().create_future() for _ in range(IDLE_MAX + 10)]

        def waiting(future: "asyncio.Future[None]") -> Callable[[], None]:
            return lambda: scheduler.wait(make(), future)

        for future in futures:
            scheduler.spawn(waiting(future))
        for future in futures:
            future.set_result(None)
        await asyncio.sleep(0)
        assert scheduler.idle <= IDLE_MAX

    scheduled(check)


@pytest.mark.parametrize("pauses", [False, True])
def test_an_idle_worker_holds_nothing_of_the_queries_it_ran(pauses: bool) -> None:
    class Held:
        pass

    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        held = [Held() for _ in range(3)]
        refs = [ref(one) for one in held]
        env = make()

        def work(_: Held) -> None:
            if pauses:
                scheduler.pause(env)

        while held:
            scheduler.spawn(partial(work, held.pop()))
            await asyncio.sleep(0)
        assert scheduler.idle == 1
        assert [one() for one in refs] == [None] * 3

    scheduled(check)


def client(usage: Usage) -> Any:
    return SimpleNamespace(usage=usage, user="admin")


def test_slices_are_short_while_somebody_else_is_there_who_uses_little() -> None:
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        little, now = Usage(), perf_counter()
        whole = scheduler.slice_seconds
        assert scheduler.slice_of(client(much()), now) == whole
        assert scheduler.heard(little, now)
        assert scheduler.slice_of(client(much()), now) == whole / SHORT
        assert scheduler.slice_of(client(little), now) == whole  # nobody else is there
        assert scheduler.slice_of(client(much()), now + 1.01 * NEAR_S) == whole
        env = make()
        env.client = client(much())
        env.new_slice()
        assert env.hurried
        assert env.lot(8000) < 8000

    scheduled(check)


def test_two_who_use_little_are_somebody_else_to_each_other() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        one, other, now = Usage(), Usage(), perf_counter()
        short = scheduler.slice_seconds / SHORT
        scheduler.heard(one, now)
        scheduler.heard(other, now)
        assert scheduler.slice_of(client(one), now) == short
        assert scheduler.slice_of(client(other), now) == short
        scheduler.heard(one, now)
        assert scheduler.slice_of(client(other), now) == short
        later = now + NEAR_S / 2
        scheduler.heard(one, later)
        assert scheduler.slice_of(client(other), now + 1.01 * NEAR_S) == short
        assert scheduler.slice_of(client(one), now + 1.01 * NEAR_S) == scheduler.slice_seconds

    scheduled(check)


def test_nobody_makes_room_for_somebody_who_has_begun_to_use_much() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        one, other, now = Usage(), Usage(), perf_counter()
        scheduler.heard(one, now)
        scheduler.heard(other, now)
        for usage in (one, other):
            usage.round, usage.seconds = much().round, 100 * LITTLE_S
        assert not scheduler.heard(one, now)  # as yet nobody knows about the other
        assert scheduler.heard(other, now)
        assert scheduler.heard(one, now)
        assert scheduler.slice_of(client(much()), now) == scheduler.slice_seconds

    scheduled(check)


def test_nobody_makes_room_for_somebody_who_is_gone() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        one, other, now = Usage(), Usage(), perf_counter()
        heavy, short = client(much()), scheduler.slice_seconds / SHORT
        scheduler.heard(one, now)
        scheduler.heard(other, now)
        scheduler.left(other)
        assert scheduler.slice_of(heavy, now) == short
        assert scheduler.slice_of(client(one), now) == scheduler.slice_seconds
        scheduler.left(one)
        assert scheduler.slice_of(heavy, now) == scheduler.slice_seconds
        scheduler.heard(one, now)
        scheduler.heard(other, now)
        scheduler.left(one)
        scheduler.left(other)
        assert scheduler.slice_of(heavy, now) == scheduler.slice_seconds

    scheduled(check)


def test_who_wants_more_of_what_it_is_told_is_heard_and_nobody_makes_room_for_it() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        little, now = Usage(), perf_counter()
        assert scheduler.heard(little, now, asks=False)
        assert scheduler.slice_of(client(much()), now) == scheduler.slice_seconds
        scheduler.heard(Usage(), now)
        assert not scheduler.heard(much(), now, asks=False)
        assert scheduler.heard(little, now, asks=False)

    scheduled(check)


def test_who_is_near_stays_it_while_a_crowd_leaves() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        one, crowd, now = Usage(), [Usage() for _ in range(NEAR_MAX - 1)], perf_counter()
        heavy, short = client(much()), scheduler.slice_seconds / SHORT
        for usage in (one, *crowd):
            scheduler.heard(usage, now)
        for usage in crowd:
            assert scheduler.slice_of(heavy, now) == short
            scheduler.left(usage)
        assert scheduler.slice_of(heavy, now) == short
        scheduler.left(one)
        assert scheduler.slice_of(heavy, now) == scheduler.slice_seconds
        for usage in (one, *crowd, *(Usage() for _ in range(100))):
            scheduler.heard(usage, now)
        assert len(scheduler._near) <= NEAR_MAX

    scheduled(check)


def test_what_is_left_of_a_short_turn_is_the_next_slice() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        scheduler.heard(Usage(), perf_counter())
        scheduler.spawn(lambda: use_up(scheduler))
        short = scheduler.slice_seconds / SHORT
        assert scheduler.slice_of(client(much()), perf_counter()) == short / 2

    scheduled(check)


def test_what_others_send_is_looked_at_in_their_turns_while_somebody_is_there() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        heavy, little, now = much(), Usage(), perf_counter()
        assert scheduler.heard(heavy, now)  # nobody has to wait for that
        assert scheduler.heard(little, now)
        assert not scheduler.heard(heavy, now)
        assert scheduler.heard(little, now)
        assert scheduler.heard(Usage(), now)
        assert scheduler.heard(heavy, now + 1.01 * NEAR_S)
        assert not scheduler.heard(much(), perf_counter())
        rested = now + 20 * ROUND_S
        assert scheduler.heard(Usage(), rested)
        assert scheduler.heard(heavy, rested)  # it uses little again

    scheduled(check)


def test_connections_have_their_turns_as_queries_do() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()
        scheduler.line_up(much(), lambda: order.append("much"))
        scheduler.line_up(Usage(), lambda: ended.set_result(None), first=False)
        scheduler.line_up(Usage(), lambda: order.append("little"))
        assert order == []
        await ended
        assert order == ["little", "much"]

    scheduled(check)


def test_a_turn_that_fails_is_the_end_of_that_turn_only(caplog: pytest.LogCaptureFixture) -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        ended = asyncio.get_running_loop().create_future()
        scheduler.line_up(Usage(), lambda: 1 // 0)  # type: ignore[arg-type,return-value]
        scheduler.line_up(Usage(), lambda: ended.set_result(None))
        await ended

    scheduled(check)
    assert "Internal error in a connection" in caplog.text


def test_work_that_a_connection_begins_in_its_turn_counts_once() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        usage = Usage()
        ended = asyncio.get_running_loop().create_future()

        def turn() -> None:
            scheduler.spawn(lambda: use_up(scheduler), usage)
            ended.set_result(None)

        scheduler.line_up(usage, turn)
        began = perf_counter()
        await ended
        assert scheduler.slice_seconds <= usage.seconds <= perf_counter() - began

    scheduled(check)


def test_several_queries_at_once_count_when_they_hold_up_others() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        usage = Usage()
        scheduler.answered(usage, 0.0, scheduler.slice_seconds / SHORT / 2)
        assert usage.seconds == 0.0
        scheduler.answered(usage, 0.0, scheduler.slice_seconds)
        assert usage.seconds == scheduler.slice_seconds

    scheduled(check)


def test_a_turn_is_short_while_somebody_is_there() -> None:
    async def check(scheduler: Scheduler, _: Callable[[], Env]) -> None:
        turns: list[int] = []
        ended = asyncio.get_running_loop().create_future()

        def some() -> None:
            end = perf_counter() + scheduler.slice_seconds / SHORT
            while perf_counter() <= end:
                pass
            turns.append(scheduler.waiting)
            if len(turns) == 3:
                ended.set_result(None)

        scheduler.heard(Usage(), perf_counter())
        for _ in range(3):
            scheduler.line_up(much(), some)
        looks: list[int] = []
        while not ended.done():
            looks.append(len(turns))
            await asyncio.sleep(0)
        assert looks[:4] == [0, 1, 2, 3][: len(looks)]

    scheduled(check)
