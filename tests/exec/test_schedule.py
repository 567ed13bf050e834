"""Queries give way and wait without holding the loop."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest

from rethought.exec.env import Env, Killed
from rethought.exec.schedule import BEGINNERS_SLICES, IDLE_MAX, Scheduler
from rethought.limits import Limits


def scheduled(check: Callable[[Scheduler, Callable[[], Env]], Any]) -> None:
    """Runs a test on a loop of its own."""

    async def run() -> None:
        # Slices are so long that what is short fits into one on a busy machine too.
        scheduler = Scheduler(asyncio.get_running_loop(), slice_seconds=0.02)
        await check(scheduler, lambda: Env(None, None, None, Limits(), scheduler))

    asyncio.run(run())


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


def test_work_that_begins_after_its_slices_were_used_waits_for_the_next_turn_and_comes_first() -> (
    None
):
    async def check(scheduler: Scheduler, make: Callable[[], Env]) -> None:
        order: list[str] = []
        ended = asyncio.get_running_loop().create_future()

        def long() -> None:
            env = make()
            end = perf_counter() + BEGINNERS_SLICES * scheduler.slice_seconds
            while perf_counter() <= end:
                pass
            scheduler.pause(env)
            order.append("long")
            ended.set_result(None)

        scheduler.spawn(long)
        assert scheduler.busy
        scheduler.spawn(lambda: order.append("short"))
        scheduler.spawn(lambda: order.append("next"))
        assert order == []
        await ended
        assert order == ["short", "next", "long"]

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
