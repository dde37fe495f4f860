"""Work side by side: as many threads as torch has, each thing in its place, and nothing else changed."""

import multiprocessing
import threading
import time

import pytest
import torch

from gatecast.side_by_side import side_by_side


def fail():
    raise ArithmeticError("no")


def test_what_each_gives_is_in_its_place(threads):
    for count in (1, 2, 3):
        threads(count)
        assert side_by_side([lambda n=n: (time.sleep(0.02 / (n + 1)), n)[1] for n in range(5)]) == list(range(5))
    assert side_by_side([]) == []


def test_as_many_at_once_as_torch_has_threads(threads):
    threads(2)
    meeting = threading.Barrier(2)
    assert sorted(side_by_side([lambda: meeting.wait(10)] * 2)) == [0, 1]
    threads(1)
    assert side_by_side([threading.current_thread] * 2) == [threading.current_thread()] * 2


@pytest.mark.parametrize("learning", [True, False])
def test_gradients_are_kept_where_the_caller_keeps_them(threads, learning):
    threads(2)
    with torch.set_grad_enabled(learning):
        assert side_by_side([torch.is_grad_enabled] * 2) == [learning] * 2


def test_an_error_is_raised_once_all_have_ended(threads):
    threads(2)
    ended = []
    with pytest.raises(ArithmeticError, match="no"):
        side_by_side([fail, lambda: (time.sleep(0.1), ended.append(1))])
    assert ended == [1]


def test_after_an_error_nothing_more_is_begun(threads):
    threads(2)
    begun = []
    with pytest.raises(ArithmeticError, match="no"):
        side_by_side([fail, *[lambda: (time.sleep(0.01), begun.append(1))] * 200])
    assert len(begun) < 100


def test_each_has_one_thread_or_its_share_and_those_of_others_are_left_as_they_were(threads):
    threads(4)
    assert side_by_side([torch.get_num_threads]) == [1]
    assert side_by_side([torch.get_num_threads] * 2) == [1, 1]
    assert side_by_side([torch.get_num_threads] * 2, large=True) == [2, 2]
    assert side_by_side([torch.get_num_threads] * 9, large=True) == [1] * 9
    assert torch.get_num_threads() == 4
    found = []
    other = threading.Thread(target=lambda: (torch.ones(2) + 1, found.append(torch.get_num_threads())))
    other.start()
    other.join()
    assert found == [4]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="a system without fork")
def test_a_process_that_is_forked_has_workers_of_its_own(threads):
    threads(2)
    meeting = threading.Barrier(2)
    assert sorted(side_by_side([lambda: meeting.wait(10)] * 2)) == [0, 1]
    forked = multiprocessing.get_context("fork").Process(target=side_by_side, args=([lambda: meeting.wait(10)] * 2,))
    forked.start()
    forked.join(20)
    forked.kill()  # if it waits in vain
    assert forked.exitcode == 0
