"""Work of several networks side by side, a thread each.

Their operations are too small to be shared out among threads: on two cores torch's own sharing gains nothing, a
network on each core up to two thirds. Each does what it would do alone, in its own order: as long as each has one
thread, to the same bits.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Found = TypeVar("Found")


def side_by_side(tasks: Sequence[Callable[[], Found]]) -> list[Found]:
    """What each task gives, in their order; as many are done at once as torch may use threads.

    An error of one is raised once all have ended.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(tasks))
    if workers < 2:
        return [task() for task in tasks]
    learning = torch.is_grad_enabled()  # which every thread has for itself

    def do(task: Callable[[], Found]) -> Found:
        with torch.set_grad_enabled(learning):
            return task()

    begun = [_crew(workers, threads).submit(do, task) for task in tasks]
    wait(begun)
    return [one.result() for one in begun]


@cache
def _crew(workers: int, threads: int) -> ThreadPoolExecutor:
    """Threads that share out torch's among them; what it gives to threads of others is left as it was."""
    started = Barrier(workers)

    def start() -> None:
        torch.set_num_threads(max(threads // workers, 1))
        torch.get_num_threads()  # or the first operation sets it again, to what is right for others
        started.wait()

    crew = ThreadPoolExecutor(workers, "gatecast")
    wait([crew.submit(start) for _ in range(workers)])
    torch.set_num_threads(threads)
    return crew
