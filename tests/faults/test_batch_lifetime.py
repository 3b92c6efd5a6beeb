"""A batch can be used from any thread until `process` returns; afterwards every access raises."""

import inspect
import operator
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from pyfw import Frame, FrameBatch
from tests.faults.conservation import ConservationTest, make_packet, make_packets, numbers

BATCH_METHODS: dict[str, Callable[[FrameBatch], Any]] = {
    "__len__": len,
    "__getitem__": lambda batch: batch[0],
    "__iter__": iter,
    "peer_key": lambda batch: batch.peer_key(0),
    "where": lambda batch: batch.where(protocol="udp"),
    "data": lambda batch: batch.data(0),
    "drop": lambda batch: batch.drop(0),
    "answer": lambda batch: batch.answer(0, make_packet(9)),
    "replace": lambda batch: batch.replace(0, make_packet(9)),
    "insert": lambda batch: batch.insert(0, make_packet(9)),
    "hold": lambda batch: batch.hold(0),
    "split": lambda batch: batch.split(0),
    "mark": lambda batch: batch.mark(0, 1),
    "set_ecn": lambda batch: batch.set_ecn(0, 1),
}
READABLE = {"direction", "now_ns"}
"""What stays readable, because it does not need the frames."""
FRAME_METHODS: dict[str, Callable[[Frame], Any]] = {"__repr__": repr, "to_scapy": Frame.to_scapy}


def accessors(
    kind: type, named: dict[str, Callable[[Any], Any]]
) -> dict[str, Callable[[Any], Any]]:
    """Every access that a class offers: `named` for methods, and a getter for each property.

    Sorted, because the order of an extension class's attributes differs from process to process.
    """
    found = dict(named)
    for name, value in sorted(vars(kind).items()):
        if name in found or name in READABLE:
            continue
        if inspect.isgetsetdescriptor(value):
            found[name] = operator.attrgetter(name)
        else:
            # No method of ours is missing from `named`.
            assert name in vars(object) or name in ("__module__", "__doc__", "__contains__"), name
    return found


ACCESSORS = accessors(FrameBatch, BATCH_METHODS)
FRAME_ACCESSORS = accessors(Frame, FRAME_METHODS)


class Leaks(pyfw.Stage):
    """Keeps its batch and frames."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.batch, self.frames, self.iterator = batch, list(batch), iter(batch)


class LeaksAndRaises(Leaks):
    def process(self, batch: pyfw.FrameBatch) -> None:
        super().process(batch)
        raise ValueError


def test_every_accessor_is_tested() -> None:
    assert len(ACCESSORS) == 30, sorted(ACCESSORS)
    assert len(FRAME_ACCESSORS) == 18, sorted(FRAME_ACCESSORS)


@pytest.mark.parametrize("kind", [Leaks, LeaksAndRaises])
@pytest.mark.parametrize("name", ACCESSORS)
def test_every_access_to_a_batch_raises_after_its_call(name: str, kind: type[Leaks]) -> None:
    stage = kind()
    with ConservationTest(stage) as test:
        test.inbound(*make_packets(3))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the batch is over"):
                ACCESSORS[name](stage.batch)
            test.inbound(*make_packets(3))


@pytest.mark.parametrize("name", FRAME_ACCESSORS)
def test_every_access_to_a_frame_raises_after_its_call(name: str) -> None:
    stage = Leaks()
    with ConservationTest(stage) as test:
        test.inbound(*make_packets(3))
        for frame in (*stage.frames, *stage.iterator):
            with pytest.raises(RuntimeError, match="the batch is over"):
                FRAME_ACCESSORS[name](frame)


def test_direction_and_time_of_a_batch_stay_readable() -> None:
    stage = Leaks()
    with ConservationTest(stage, now_ns=77) as test:
        test.outbound(make_packet(1))
        assert (stage.batch.direction, stage.batch.now_ns) == ("outbound", 77)


# Threads


def in_thread(body: Callable[[], Any]) -> Any:
    """Runs a function in another thread. Returns its result, or the exception."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(body())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert found, "the thread did not end"
    return found[0]


class Delegates(pyfw.Stage):
    """Uses its batch in another thread during the call."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        assert in_thread(lambda: batch.where(src_port=7)) == [0, 1, 2]
        assert bytes(in_thread(lambda: batch.data(0))) == make_packet(0)
        assert in_thread(lambda: batch.drop(0, "unwanted")) is None
        assert in_thread(lambda: batch.replace(1, make_packet(11))) is None
        assert isinstance(in_thread(lambda: batch.drop(9)), IndexError)


def test_another_thread_may_use_the_batch_during_the_call() -> None:
    with ConservationTest(Delegates()) as test:
        assert numbers(test.inbound(*make_packets(3))) == [11, 2]
        assert (test.drops, test.counts["failures"]) == ({"unwanted": 1}, 0)


class RacesWithCalls(pyfw.Stage):
    """Has threads that use its batch during calls and after them."""

    def __init__(self) -> None:
        super().__init__()
        self.batch: FrameBatch | None = None
        self.stopping = False
        self.errors: list[BaseException] = []
        self.accesses = self.refused = 0

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._use) for _ in range(3)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping = True
        for thread in self.threads:
            thread.join()

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.batch = batch
        for i in range(len(batch)):
            batch.mark(i, i)
            time.sleep(0)  # lets another thread run

    def _use(self) -> None:
        while not self.stopping:
            batch = self.batch
            if batch is None:
                continue
            try:
                data = bytes(batch[1].data)
                batch.drop(0, "unwanted")
                self.accesses += 1
                assert data == make_packet(1)
            except RuntimeError:
                self.refused += 1
            except BaseException as error:
                self.errors.append(error)


def test_threads_racing_the_end_of_a_call_get_data_or_an_error() -> None:
    stage = RacesWithCalls()
    with ConservationTest(stage) as test:
        calls = 0
        while calls < 200 or (not stage.accesses and calls < 10_000):
            left = numbers(test.inbound(*make_packets(3)))
            assert left in ([0, 1, 2], [1, 2])
            calls += 1
        assert stage.errors == []
        assert stage.accesses > 0 and stage.refused > 0
        assert set(test.drops) <= {"unwanted"}


class UsesBatchWhenCollected:
    """Uses a batch when it is garbage collected, which may happen inside a call of the batch."""

    batch: FrameBatch | None = None
    uses = 0

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        if UsesBatchWhenCollected.batch is not None:
            UsesBatchWhenCollected.uses += len(UsesBatchWhenCollected.batch) == 3


class CollectsGarbage(pyfw.Stage):
    """Triggers a garbage collection in each call that it makes."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        import gc

        UsesBatchWhenCollected.batch = batch
        thresholds = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        try:
            views = []
            for i in range(len(batch)):
                UsesBatchWhenCollected()
                views.append(batch.data(i))
                UsesBatchWhenCollected()
                views.append(batch[i].data)
                UsesBatchWhenCollected()
                views.append(memoryview(batch.length))
        finally:
            gc.set_threshold(*thresholds)
            UsesBatchWhenCollected.batch = None


def test_a_garbage_collection_may_use_the_batch() -> None:
    with ConservationTest(CollectsGarbage()) as test:
        test.inbound(*make_packets(3))
        assert test.counts["failures"] == 0
    assert UsesBatchWhenCollected.uses > 0
