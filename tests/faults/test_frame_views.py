"""Views of frame bytes that a stage keeps: they never change, are counted, and have a limit."""

import gc
from typing import Any

import numpy
import pytest

import pyfw
from tests.faults.conservation import ConservationTest, make_packet, make_packets, numbers


class KeepsViews(pyfw.Stage):
    """Keeps a view of each frame, made by a function."""

    def __init__(self, view: Any = lambda data: data) -> None:
        super().__init__()
        self.view = view
        self.kept: list[Any] = []

    def process(self, batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            self.kept.append(self.view(batch.data(i)))


VIEWS = {
    "memoryview": lambda data: data,
    "a slice": lambda data: data[:],
    "cast": lambda data: data.cast("B"),
    "numpy": lambda data: numpy.frombuffer(data, numpy.uint8),
    "numpy of numpy": lambda data: numpy.asarray(data)[:].reshape(-1, 1),
}
views = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


@views
def test_a_view_never_shows_another_frame(view: Any) -> None:
    stage = KeepsViews(view)
    with ConservationTest(stage) as test:
        for round_ in range(8):
            packets = [make_packet(10 * round_ + i, length=100) for i in range(4)]
            assert test.inbound(*packets) == packets
            assert test.outbound(*packets) == packets
        expected = [
            make_packet(10 * round_ + i, length=100)
            for round_ in range(8)
            for _ in range(2)
            for i in range(4)
        ]
        assert [bytes(view) for view in stage.kept] == expected
        # Each of the 16 batches has a buffer of its own.
        assert test.counters["views_kept"] == 16


@views
def test_a_view_is_read_only(view: Any) -> None:
    stage = KeepsViews(view)
    with ConservationTest(stage) as test:
        test.inbound(make_packet(1))
        with pytest.raises((TypeError, ValueError), match="read-only"):
            stage.kept[0][0] = 0


def test_views_released_in_time_are_not_counted() -> None:
    stage = KeepsViews(lambda data: bytes(data))
    with ConservationTest(stage) as test:
        for _ in range(100):
            test.inbound(*make_packets(4))
        assert test.counters["views_kept"] == 0
        assert stage.kept == make_packets(4) * 100


def test_a_view_does_not_show_later_changes() -> None:
    class Changes(KeepsViews):
        def process(self, batch: pyfw.FrameBatch) -> None:
            super().process(batch)
            batch.set_ecn(0, 3)
            batch.replace(1, make_packet(77))
            super().process(batch)

    class Marks(pyfw.Stage):
        def process(self, batch: pyfw.FrameBatch) -> None:
            for i in range(len(batch)):
                batch.set_ecn(i, 2)

    stage = Changes()
    with ConservationTest(stage, Marks()) as test:
        packets = make_packets(3)
        left = test.inbound(*packets)
    assert [packet[1] & 3 for packet in left] == [2, 2, 2]
    assert numbers(left) == [0, 77, 2]
    before, after = stage.kept[:3], stage.kept[3:]
    assert [bytes(view) for view in before] == packets
    assert [view[1] & 3 for view in after] == [3, 0, 0]
    assert numbers([bytes(view) for view in after]) == [0, 77, 2]


class Full(KeepsViews):
    """Keeps views until the limit, and continues without."""

    refused = 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        try:
            super().process(batch)
        except BufferError as error:
            assert "16777216" in str(error)
            self.refused += 1


def replace_and_keep(batch: pyfw.FrameBatch, kept: list[Any]) -> None:
    """Views of replaced frames are copies."""
    for i in range(len(batch)):
        batch.replace(i, make_packet(1, length=60_000))
        kept.append(batch.data(i))


class FullOfCopies(Full):
    """Keeps views of copies until the limit."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        try:
            replace_and_keep(batch, self.kept)
        except BufferError:
            self.refused += 1


@pytest.mark.parametrize("kind", [Full, FullOfCopies])
def test_beyond_16_mib_new_views_raise_and_traffic_continues(kind: type[Full]) -> None:
    stage = kind()
    with ConservationTest(stage) as test:
        calls = 0
        while stage.refused < 3 and calls < 1000:
            assert len(test.inbound(*[make_packet(5, length=100)] * 4)) == 4
            calls += 1
        assert stage.refused == 3
        assert (test.drops, test.counts["failures"]) == ({}, 0)
        kept = test.counters["views_kept"]
        # Once the views are released, new ones can be made.
        stage.kept.clear()
        gc.collect()
        stage.refused = 0
        for _ in range(3):
            assert len(test.inbound(*[make_packet(5, length=100)] * 4)) == 4
        assert stage.refused == 0
        assert len(stage.kept) == 12
        assert test.counters["views_kept"] >= kept


def test_the_view_limit_fails_a_call_like_other_exceptions() -> None:
    stage = KeepsViews()
    with ConservationTest(stage) as test:
        while not test.counts["failures"]:
            test.inbound(*[make_packet(5)] * 4)
        assert test.drops == {"raised": 4}
        (notice,) = test.notices()
        assert "BufferError: frame views that stages keep occupy" in notice["reason"]
        stage.kept.clear()
        assert len(test.inbound(*[make_packet(5)] * 4)) == 4


def test_columns_stay_valid_after_the_batch() -> None:
    class Columns(pyfw.Stage):
        kept: list[Any] = []  # noqa: RUF012 # used by one instance

        def process(self, batch: pyfw.FrameBatch) -> None:
            self.kept += [batch.src_port, numpy.asarray(batch.source), batch.received_ns]

    stage = Columns()
    with ConservationTest(stage) as test:
        for round_ in range(20):
            test.now_ns = 1000 + round_
            test.inbound(*[make_packet(0, port=round_ + port) for port in (1, 2)])
    assert [column.tolist() for column in stage.kept[::3]] == [[n + 1, n + 2] for n in range(20)]
    assert all(column[:, :4].tolist() == [[10, 0, 0, 2]] * 2 for column in stage.kept[1::3])
    assert [column.tolist() for column in stage.kept[2::3]] == [[1000 + n] * 2 for n in range(20)]
