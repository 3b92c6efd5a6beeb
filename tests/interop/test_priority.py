"""Who runs first on a busy processor."""

import os
from pathlib import Path

from lab import pyfw_run
from tests.interop.conftest import MakePair


def test_a_nice_value_is_the_data_threads_and_the_sessions(make_pair: MakePair) -> None:
    pair = make_pair(lambda: pyfw_run("nice = 5"), lambda: pyfw_run())
    for daemon, asked in ((pair.client, 5), (pair.gateway, 0)):
        process = Path(f"/proc/{daemon.process.pid}")
        threads = {
            int(task.name): (task / "comm").read_text().strip()
            for task in (process / "task").iterdir()
        }
        nice = {number: os.getpriority(os.PRIO_PROCESS, number) for number in threads}
        data = [number for number, name in threads.items() if name == "pyfw-data"]
        assert [nice[number] for number in data] == [asked]
        assert {nice[number] for number in threads if number not in data} == {0}
        assert daemon.facts()["nice"] == asked
        if (group := process / "autogroup").exists() and (text := group.read_text()):
            assert text.split()[-1] == str(asked)
