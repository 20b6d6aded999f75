"""Executions that configurations lack: found one at a time, and queued by how many configurations wait for them."""

from __future__ import annotations

from explorer.search.jobs import Job, JobQueue


def test_what_most_configurations_wait_for_comes_first_and_what_has_begun_never_again() -> None:
    queue = JobQueue(2)
    jobs = [Job((name, ""), "tvm", lambda: None) for name in "abc"]
    for job in jobs:
        queue.put(job, 1)
    queue.put(jobs[2], 2)
    assert queue.take() == jobs[2]
    queue.put(jobs[2], 3)
    assert queue.take() == jobs[0]
    assert queue.take() is None, "nobody is free"
    queue.give_back()
    assert queue.take() == jobs[1]
    queue.give_back()
    assert not queue.waiting
    assert queue.take() is None
