"""Work of several networks, or on several batches, side by side, a thread each.

Their operations are too small to be shared out among threads, as each share waits for the others: on two cores a
step of one network of 128 units takes nearly twice as long, a forecast of one series more than twice. A network or
a batch on each core saves up to half. Each does what it would do alone, in its own order: as long as each has one
thread, to the same bits.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import cache, partial
from threading import Barrier
from typing import TypeVar

import torch

Found = TypeVar("Found")


def side_by_side(tasks: Sequence[Callable[[], Found]], *, large: bool = False) -> list[Found]:
    """What each task gives, in their order; as many are done at once as torch may use threads.

    After an error, or when interrupted, no more are begun; it is raised once those at work have ended.

    Args:
        large: whether operations are so large that a task should use the threads that others leave.
    """
    threads = torch.get_num_threads()
    if threads < 2 or not tasks:
        return [task() for task in tasks]
    workers, learning = min(threads, len(tasks)), torch.is_grad_enabled()  # which every thread has for itself

    def do(task: Callable[[], Found]) -> Found:
        with torch.set_grad_enabled(learning):
            return task()

    crew = _crew(workers, max(threads // workers, 1) if large else 1, threads)
    begun = [crew.submit(do, task) for task in tasks]
    try:
        wait(begun, return_when=FIRST_EXCEPTION)
    finally:
        for one in begun:
            one.cancel()
        wait(begun)
    return [one.result() for one in begun if not one.cancelled()]


def in_batches(count: int, size: int, do: Callable[[slice], None], *, at_once: bool = True) -> None:
    """Do something with each batch of some rows, with several batches at once unless told otherwise."""
    batches = [partial(do, slice(at, at + size)) for at in range(0, count, size)]
    if at_once:
        side_by_side(batches)
    else:
        for batch in batches:
            batch()


@cache
def _crew(workers: int, each: int, threads: int) -> ThreadPoolExecutor:
    """Workers of so many of torch's threads each; what it gives to threads of others is left as it was."""
    started = Barrier(workers)

    def start() -> None:
        torch.set_num_threads(each)
        torch.get_num_threads()  # or the first operation sets it again, to what is right for others
        started.wait()

    crew = ThreadPoolExecutor(workers, "gatecast")
    wait([crew.submit(start) for _ in range(workers)])
    torch.set_num_threads(threads)
    return crew


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_crew.cache_clear)  # the workers are left behind, and would be waited for
