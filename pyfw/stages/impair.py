"""impair: simulates a bad network inside the tunnel: loss, delay, reordering and more, from a seed.

    [[stages]]
    use = "impair"
    direction = "inbound"
    options = { loss = 0.01, loss_burst = 3, delay_ms = 40, seed = 7 }

A frame is split into segments, and each is impaired on its own, unless all that is configured is a delay.
Drops: "too_big", "lost" and "queue_full", checked in this order. Order: kept, unless jitter or reorder is
configured. Counters: delayed, reordered, marked, duplicated. Each direction has a random stream of its own,
and the outcome depends only on the seed and the segments, not on how they are batched.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from pyfw.stage import FrameBatch, HeldFrame, Stage

Fraction = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0, le=86_400_000)]

_MS = 1_000_000
_ECT_1, _ECT_0, _CE = 1, 2, 3  # RFC 3168 section 5


class ImpairOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to segments; keys as in a replay's `[impairment]`. The defaults change nothing."""

    loss: Fraction = 0.0
    loss_burst: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Mean number of consecutive losses; up to 1, losses are independent."""
    delay_ms: Milliseconds = 0.0
    jitter_ms: Milliseconds = 0.0
    """Additional random delay, up to this; reorders segments."""
    reorder: Fraction = 0.0
    """Share of segments that are delayed by reorder_ms."""
    reorder_ms: Milliseconds = 0.0
    duplicate: Fraction = 0.0
    ce: Fraction = 0.0
    """Share of ECN-capable segments that are marked CE."""
    mtu: Annotated[int, Meta(ge=0, le=65_575)] = 0
    """Longer inner packets are dropped; 0: none."""
    rate_mbit: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    queue_ms: Milliseconds = 0.0
    """Longest queue in front of the rate limit; 0: unlimited."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.reorder and not self.reorder_ms:
            raise ValueError("reorder needs reorder_ms, the delay of reordered segments")
        if self.queue_ms and not self.rate_mbit:
            raise ValueError("queue_ms needs rate_mbit, the rate that the queue waits for")


class Impair(Stage):
    """Impairs each direction as configured."""

    Options = ImpairOptions
    # 100 ms of 1 Gbit/s in packets of 1,400 B is 9,000 of them.
    hold_frames = 65_536
    hold_bytes = 64 << 20

    def __init__(self, options: msgspec.Struct | None = None, **fields: Any) -> None:
        super().__init__(options, **fields)
        impairment: ImpairOptions = self.options
        self.reorders = bool(impairment.jitter_ms or impairment.reorder)
        # A delay alone applies to whole frames.
        only_delay = ImpairOptions(delay_ms=impairment.delay_ms, seed=impairment.seed)
        self._by_segment = impairment != only_delay
        self._links = {name: _Link(impairment, name) for name in ("inbound", "outbound")}
        self._delayed: list[_Delayed] = []
        self._number = 0

    def process(self, batch: FrameBatch) -> None:
        """Impairs each segment of a batch."""
        now_ns = batch.now_ns
        self._release(now_ns)
        rows = self._rows(batch)
        link, lengths, ecn = self._links[batch.direction], batch.length, batch.ecn
        counters: Counter[str] = Counter()
        for i in rows:
            fate = link.fate(now_ns, lengths[i], ecn[i])
            if fate.drop:
                batch.drop(i, fate.drop)
                continue
            counters.update(fate.counters)
            if fate.is_marked:
                batch.set_ecn(i, _CE)
            copy = bytes(batch.data(i)) if fate.is_duplicated else None
            if fate.due_ns <= now_ns:
                if copy is not None:
                    batch.insert(i, copy)
                continue
            counters["delayed"] += 1
            held = batch.hold(i)
            for frame in (held, copy):
                if frame is not None:
                    self._delay(fate.due_ns, batch.direction, frame)
        for name, count in counters.items():
            self.count(name, count)
        self._wake()

    def tick(self, now_ns: int) -> None:
        """Emits what is due."""
        self._release(now_ns)
        self._wake()

    def handover(self) -> Any:
        """Hands over delayed segments and the state of both links."""
        return self.options, self._links, self._delayed

    def takeover(self, state: Any) -> None:
        """Takes over delayed segments, and the links if the options are the same."""
        options, links, delayed = state
        if options == self.options:
            self._links = links
        for item in sorted(delayed, key=lambda item: item.number):
            due_ns = self._links[item.direction].in_order(item.due_ns)
            self._delay(due_ns, item.direction, item.frame)
        self._wake()

    def _rows(self, batch: FrameBatch) -> Sequence[int]:
        if not self._by_segment:
            return range(len(batch))
        rows: list[int] = []
        for i, segments in enumerate(batch.segments.tolist()):
            rows.extend(batch.split(i) if segments > 1 else (i,))
        return rows

    def _delay(self, due_ns: int, direction: str, frame: HeldFrame | bytes) -> None:
        self._number += 1
        heapq.heappush(self._delayed, _Delayed(due_ns, self._number, direction, frame))

    def _release(self, now_ns: int) -> None:
        while self._delayed and self._delayed[0].due_ns <= now_ns:
            item = heapq.heappop(self._delayed)
            self.emit(item.frame, "inbound" if item.direction == "inbound" else "outbound")

    def _wake(self) -> None:
        if self._delayed:
            self.wake_at(self._delayed[0].due_ns)


class _Delayed(NamedTuple):
    """A delayed segment or frame; sorts by due time, then by arrival."""

    due_ns: int
    number: int
    direction: str
    frame: HeldFrame | bytes


class _Fate(NamedTuple):
    """What happens to one segment."""

    drop: str = ""
    due_ns: int = 0
    is_marked: bool = False
    is_duplicated: bool = False
    counters: tuple[str, ...] = ()


class _Link:
    """The random stream, rate limit and loss state of one direction."""

    def __init__(self, options: ImpairOptions, direction: str) -> None:
        self._options = options
        # Random hashes a text seed with SHA-512: the same stream on every machine and version.
        self._random = Random(f"{options.seed} {direction}").random
        self._is_losing = False
        self._free_at_ns = 0
        self._last_due_ns = 0
        self._reorders = bool(options.jitter_ms or options.reorder)

    def fate(self, now_ns: int, length: int, ecn: int) -> _Fate:
        """Decides what happens to a segment, in the order of checks of a replay's wire."""
        options = self._options
        if options.mtu and length > options.mtu:
            return _Fate("too_big")
        if self._is_lost():
            return _Fate("lost")
        due_ns = now_ns
        if options.rate_mbit:
            start_ns = max(self._free_at_ns, now_ns)
            if options.queue_ms and start_ns - now_ns > options.queue_ms * _MS:
                return _Fate("queue_full")
            due_ns = self._free_at_ns = start_ns + round(length * 8_000 / options.rate_mbit)
        due_ns += round(options.delay_ms * _MS)
        counters: list[str] = []
        if options.jitter_ms:
            due_ns += round(self._random() * options.jitter_ms * _MS)
        if self._happens(options.reorder):
            due_ns += round(options.reorder_ms * _MS)
            counters.append("reordered")
        # A router marks only ECN-capable packets (RFC 3168 section 5).
        is_marked = ecn in (_ECT_1, _ECT_0) and self._happens(options.ce)
        if is_marked:
            counters.append("marked")
        is_duplicated = self._happens(options.duplicate)
        if is_duplicated:
            counters.append("duplicated")
        return _Fate("", self.in_order(due_ns), is_marked, is_duplicated, tuple(counters))

    def in_order(self, due_ns: int) -> int:
        """Keeps segments in order, unless configured otherwise: a reload may have shortened the delay."""
        if not self._reorders:
            due_ns = self._last_due_ns = max(due_ns, self._last_due_ns)
        return due_ns

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random() < share

    def _is_lost(self) -> bool:
        """Independent losses, or the Gilbert model: all is lost in a bad state of mean length loss_burst."""
        loss, burst = self._options.loss, self._options.loss_burst
        if burst <= 1:
            return self._happens(loss)
        if loss >= 1:
            return True
        leave = 1 / burst
        if self._is_losing:
            self._is_losing = not self._happens(leave)
        else:
            # With this probability the overall share of losses is `loss`.
            self._is_losing = self._happens(loss * leave / (1 - loss))
        return self._is_losing
