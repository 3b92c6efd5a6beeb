"""Views of frames that a stage keeps: they show their own bytes for ever, are counted, and have a bound."""

import gc
from typing import Any

import numpy
import pytest

import pyfw
from tests.faults.conservation import Judged, batch_of, numbered, numbers

BOUND = 16 << 20


class Keeps(pyfw.Stage):
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
def test_a_view_that_is_kept_never_shows_another_frame(view: Any) -> None:
    stage = Keeps(view)
    with Judged(stage) as test:
        for round_ in range(8):
            packets = [numbered(10 * round_ + i, length=100) for i in range(4)]
            assert test.inbound(*packets) == packets
            assert test.outbound(*packets) == packets
        expected = [
            numbered(10 * round_ + i, length=100)
            for round_ in range(8)
            for _ in range(2)
            for i in range(4)
        ]
        assert [bytes(one) for one in stage.kept] == expected
        # 16 batches, each in a buffer of its own.
        assert test.counters["views_kept"] == 16


@views
def test_a_view_is_read_only(view: Any) -> None:
    stage = Keeps(view)
    with Judged(stage) as test:
        test.inbound(numbered(1))
        with pytest.raises((TypeError, ValueError), match="read-only"):
            stage.kept[0][0] = 0


def test_views_that_are_let_go_in_time_are_not_counted() -> None:
    stage = Keeps(lambda data: bytes(data))
    with Judged(stage) as test:
        for _ in range(100):
            test.inbound(*batch_of(4))
        assert test.counters["views_kept"] == 0
        assert stage.kept == batch_of(4) * 100


def test_later_changes_to_a_frame_do_not_show_in_a_view_of_it() -> None:
    class Changes(Keeps):
        def process(self, batch: pyfw.FrameBatch) -> None:
            super().process(batch)
            batch.set_ecn(0, 3)
            batch.replace(1, numbered(77))
            super().process(batch)

    class Marks(pyfw.Stage):
        def process(self, batch: pyfw.FrameBatch) -> None:
            for i in range(len(batch)):
                batch.set_ecn(i, 2)

    stage = Changes()
    with Judged(stage, Marks()) as test:
        packets = batch_of(3)
        left = test.inbound(*packets)
    assert [packet[1] & 3 for packet in left] == [2, 2, 2]
    assert numbers(left) == [0, 77, 2]
    before, after = stage.kept[:3], stage.kept[3:]
    assert [bytes(view) for view in before] == packets
    assert [view[1] & 3 for view in after] == [3, 0, 0]
    assert numbers([bytes(view) for view in after]) == [0, 77, 2]


class Full(Keeps):
    """Keeps views until none are given, and goes on without."""

    refused = 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        try:
            super().process(batch)
        except BufferError as error:
            assert "16777216" in str(error)
            self.refused += 1


def gathered(batch: pyfw.FrameBatch, kept: list[Any]) -> None:
    """Views of frames that were replaced are copies, each with bytes of its own."""
    for i in range(len(batch)):
        batch.replace(i, numbered(1, length=60_000))
        kept.append(batch.data(i))


class FullOfCopies(Full):
    """The same with views that are copies."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        try:
            gathered(batch, self.kept)
        except BufferError:
            self.refused += 1


@pytest.mark.parametrize("kind", [Full, FullOfCopies])
def test_beyond_16_mib_there_are_no_more_views_and_traffic_goes_on(kind: type[Full]) -> None:
    stage = kind()
    with Judged(stage) as test:
        calls = 0
        while stage.refused < 3 and calls < 1000:
            assert len(test.inbound(*[numbered(5, length=100)] * 4)) == 4
            calls += 1
        assert stage.refused == 3
        assert (test.drops, test.counts["failures"]) == ({}, 0)
        kept = test.counters["views_kept"]
        # All of it comes back once the views are let go.
        stage.kept.clear()
        gc.collect()
        stage.refused = 0
        for _ in range(3):
            assert len(test.inbound(*[numbered(5, length=100)] * 4)) == 4
        assert stage.refused == 0
        assert len(stage.kept) == 12
        assert test.counters["views_kept"] >= kept


def test_a_stage_that_does_not_catch_it_fails_as_with_any_other_exception() -> None:
    stage = Keeps()
    with Judged(stage) as test:
        while not test.counts["failures"]:
            test.inbound(*[numbered(5)] * 4)
        assert test.drops == {"raised": 4}
        (notice,) = test.notices()
        assert "BufferError: views of frames that were kept fill" in notice["reason"]
        stage.kept.clear()
        assert len(test.inbound(*[numbered(5)] * 4)) == 4


def test_columns_that_are_kept_keep_what_they_showed() -> None:
    class Columns(pyfw.Stage):
        kept: list[Any] = []  # noqa: RUF012 # one stage, one test

        def process(self, batch: pyfw.FrameBatch) -> None:
            self.kept += [batch.src_port, numpy.asarray(batch.source), batch.received_ns]

    stage = Columns()
    with Judged(stage) as test:
        for round_ in range(20):
            test.now_ns = 1000 + round_
            test.inbound(*[numbered(0, port=round_ + port) for port in (1, 2)])
    assert [column.tolist() for column in stage.kept[::3]] == [[n + 1, n + 2] for n in range(20)]
    assert all(column[:, :4].tolist() == [[10, 0, 0, 2]] * 2 for column in stage.kept[1::3])
    assert [column.tolist() for column in stage.kept[2::3]] == [[1000 + n] * 2 for n in range(20)]
