"""A batch is dead once `process` has returned, whoever asks; during the call any thread may."""

import inspect
import operator
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from pyfw import Frame, FrameBatch
from tests.faults.conservation import Judged, batch_of, numbered, numbers

WITH_ARGUMENTS: dict[str, Callable[[FrameBatch], Any]] = {
    "__len__": len,
    "__getitem__": lambda batch: batch[0],
    "__iter__": iter,
    "peer_key": lambda batch: batch.peer_key(0),
    "where": lambda batch: batch.where(protocol="udp"),
    "data": lambda batch: batch.data(0),
    "drop": lambda batch: batch.drop(0),
    "answer": lambda batch: batch.answer(0, numbered(9)),
    "replace": lambda batch: batch.replace(0, numbered(9)),
    "insert": lambda batch: batch.insert(0, numbered(9)),
    "hold": lambda batch: batch.hold(0),
    "split": lambda batch: batch.split(0),
    "mark": lambda batch: batch.mark(0, 1),
    "set_ecn": lambda batch: batch.set_ecn(0, 1),
}
STAY = {"direction", "now_ns"}
"""What a batch knows of itself, not of its frames."""
OF_A_FRAME: dict[str, Callable[[Frame], Any]] = {"__repr__": repr, "to_scapy": Frame.to_scapy}


def accessors(
    kind: type, named: dict[str, Callable[[Any], Any]]
) -> dict[str, Callable[[Any], Any]]:
    """All that an object offers: what has arguments by name, the rest by getting it."""
    found = dict(named)
    for name, value in vars(kind).items():
        if name in found or name in STAY:
            continue
        if inspect.isgetsetdescriptor(value):
            found[name] = operator.attrgetter(name)
        else:
            # Nothing of ours is left out of the test.
            assert name in vars(object) or name in ("__module__", "__doc__", "__contains__"), name
    return found


ACCESSORS = accessors(FrameBatch, WITH_ARGUMENTS)
FRAME_ACCESSORS = accessors(Frame, OF_A_FRAME)


class Leaks(pyfw.Stage):
    """Leaves its batch and frames to others."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.batch, self.frames, self.iterator = batch, list(batch), iter(batch)


class LeaksAndRaises(Leaks):
    def process(self, batch: pyfw.FrameBatch) -> None:
        super().process(batch)
        raise ValueError


def test_there_is_a_test_for_every_accessor() -> None:
    assert len(ACCESSORS) == 30, sorted(ACCESSORS)
    assert len(FRAME_ACCESSORS) == 18, sorted(FRAME_ACCESSORS)


@pytest.mark.parametrize("kind", [Leaks, LeaksAndRaises])
@pytest.mark.parametrize("name", ACCESSORS)
def test_everything_of_a_batch_raises_once_its_call_is_over(name: str, kind: type[Leaks]) -> None:
    stage = kind()
    with Judged(stage) as test:
        test.inbound(*batch_of(3))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the batch is over"):
                ACCESSORS[name](stage.batch)
            test.inbound(*batch_of(3))


@pytest.mark.parametrize("name", FRAME_ACCESSORS)
def test_everything_of_a_frame_raises_once_its_call_is_over(name: str) -> None:
    stage = Leaks()
    with Judged(stage) as test:
        test.inbound(*batch_of(3))
        for frame in (*stage.frames, *stage.iterator):
            with pytest.raises(RuntimeError, match="the batch is over"):
                FRAME_ACCESSORS[name](frame)


def test_what_a_batch_knows_of_itself_stays() -> None:
    stage = Leaks()
    with Judged(stage, now_ns=77) as test:
        test.outbound(numbered(1))
        assert (stage.batch.direction, stage.batch.now_ns) == ("outbound", 77)


# Threads


def in_thread(body: Callable[[], Any]) -> Any:
    """Runs it in another thread, to its end, and gives what came of it."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(body())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert found, "it did not return"
    return found[0]


class Delegates(pyfw.Stage):
    """Has another thread do its work during the call."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        assert in_thread(lambda: batch.where(src_port=7)) == [0, 1, 2]
        assert bytes(in_thread(lambda: batch.data(0))) == numbered(0)
        assert in_thread(lambda: batch.drop(0, "unwanted")) is None
        assert in_thread(lambda: batch.replace(1, numbered(11))) is None
        assert isinstance(in_thread(lambda: batch.drop(9)), IndexError)


def test_another_thread_may_judge_frames_during_the_call() -> None:
    with Judged(Delegates()) as test:
        assert numbers(test.inbound(*batch_of(3))) == [11, 2]
        assert (test.drops, test.counts["failures"]) == ({"unwanted": 1}, 0)


class Races(pyfw.Stage):
    """Threads that go on asking, during calls and after them."""

    def __init__(self) -> None:
        super().__init__()
        self.batch: FrameBatch | None = None
        self.over = False
        self.others: list[BaseException] = []
        self.asked = self.refused = 0

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._ask) for _ in range(3)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.batch = batch
        for i in range(len(batch)):
            batch.mark(i, i)
            time.sleep(0)  # lets another thread run

    def _ask(self) -> None:
        while not self.over:
            batch = self.batch
            if batch is None:
                continue
            try:
                data = bytes(batch[1].data)
                batch.drop(0, "unwanted")
                self.asked += 1
                assert data == numbered(1)
            except RuntimeError:
                self.refused += 1
            except BaseException as error:
                self.others.append(error)


def test_threads_that_race_with_the_end_of_a_call_see_their_frames_or_are_refused() -> None:
    stage = Races()
    with Judged(stage) as test:
        calls = 0
        while calls < 200 or (not stage.asked and calls < 10_000):
            left = numbers(test.inbound(*batch_of(3)))
            assert left in ([0, 1, 2], [1, 2])
            calls += 1
        assert stage.others == []
        assert stage.asked > 0 and stage.refused > 0
        assert set(test.drops) <= {"unwanted"}


class Collects:
    """Looks at a batch when it is collected, in whatever call of ours that happens."""

    batch: FrameBatch | None = None
    looked = 0

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        if Collects.batch is not None:
            Collects.looked += len(Collects.batch) == 3


class Litters(pyfw.Stage):
    """Has garbage collected in each call that it makes."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        import gc

        Collects.batch = batch
        thresholds = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        try:
            views = []
            for i in range(len(batch)):
                Collects()
                views.append(batch.data(i))
                Collects()
                views.append(batch[i].data)
                Collects()
                views.append(memoryview(batch.length))
        finally:
            gc.set_threshold(*thresholds)
            Collects.batch = None


def test_a_collection_in_the_middle_of_a_call_of_ours_may_look_at_the_batch() -> None:
    with Judged(Litters()) as test:
        test.inbound(*batch_of(3))
        assert test.counts["failures"] == 0
    assert Collects.looked > 0
