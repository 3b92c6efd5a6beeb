"""impair: a bad network inside the tunnel; loss, delay, reordering and the rest, from a seed.

    [[stages]]
    use = "impair"
    direction = "inbound"
    options = { loss = 0.01, loss_burst = 3, delay_ms = 40, seed = 7 }

In: frames; what is decided for each of its segments alone splits a frame first. Out: most of them, later.
Drops: "too_big", "lost" and "queue_full", in this order. Order: kept, unless jitter or reorder is asked for;
a delay alone delays everything alike. Each direction has a random stream of its own: the same seed and the
same segments have the same fates, whatever the batches. Counters: delayed, reordered, marked, duplicated.
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
    """What happens to segments; all zero: nothing. Words as in a replay's `[impairment]`."""

    loss: Fraction = 0.0
    loss_burst: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Mean length of a run of losses; up to 1 they are independent."""
    delay_ms: Milliseconds = 0.0
    jitter_ms: Milliseconds = 0.0
    """Further delay, random up to this; lets later ones overtake."""
    reorder: Fraction = 0.0
    """Share that is held back by reorder_ms."""
    reorder_ms: Milliseconds = 0.0
    duplicate: Fraction = 0.0
    ce: Fraction = 0.0
    """Share of ECN-capable segments that get a congestion mark."""
    mtu: Annotated[int, Meta(ge=0, le=65_575)] = 0
    """Inner packets above this vanish; 0: none."""
    rate_mbit: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    queue_ms: Milliseconds = 0.0
    """Longest wait for the rate; 0: any."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.reorder and not self.reorder_ms:
            raise ValueError("reorder needs reorder_ms: held back for how long?")
        if self.queue_ms and not self.rate_mbit:
            raise ValueError("queue_ms needs rate_mbit: a queue before what?")


class Impair(Stage):
    """Does to each direction what its options say."""

    Options = ImpairOptions
    # 100 ms of 1 Gbit/s in packets of 1,400 B is 9,000 of them.
    hold_frames = 65_536
    hold_bytes = 64 << 20

    def __init__(self, options: msgspec.Struct | None = None, **fields: Any) -> None:
        super().__init__(options, **fields)
        chosen: ImpairOptions = self.options
        self.reorders = bool(chosen.jitter_ms or chosen.reorder)
        # What befalls all alike needs no splitting.
        alike = ImpairOptions(delay_ms=chosen.delay_ms, seed=chosen.seed)
        self._by_segment = chosen != alike
        self._ways = {name: _Way(chosen, name) for name in ("inbound", "outbound")}
        self._waiting: list[_Waiting] = []
        self._number = 0

    def process(self, batch: FrameBatch) -> None:
        """Decides over each segment of a batch."""
        now_ns = batch.now_ns
        self._release(now_ns)
        rows = self._rows(batch)
        way, lengths, ecn = self._ways[batch.direction], batch.length, batch.ecn
        counted: Counter[str] = Counter()
        for i in rows:
            fate = way.fate(now_ns, lengths[i], ecn[i])
            if fate.drop:
                batch.drop(i, fate.drop)
                continue
            counted.update(fate.counters)
            if fate.is_marked:
                batch.set_ecn(i, _CE)
            copy = bytes(batch.data(i)) if fate.is_duplicated else None
            if fate.due_ns <= now_ns:
                if copy is not None:
                    batch.insert(i, copy)
                continue
            counted["delayed"] += 1
            held = batch.hold(i)
            for frame in (held, copy):
                if frame is not None:
                    self._wait(fate.due_ns, batch.direction, frame)
        for name, count in counted.items():
            self.count(name, count)
        self._wake()

    def tick(self, now_ns: int) -> None:
        """Lets go what is due."""
        self._release(now_ns)
        self._wake()

    def handover(self) -> Any:
        """What waits goes on waiting in the next version, and the dice roll on."""
        return self.options, self._ways, self._waiting

    def takeover(self, state: Any) -> None:
        """Goes on where the version before it was."""
        options, ways, waiting = state
        if options == self.options:
            self._ways = ways
        for one in sorted(waiting, key=lambda one: one.number):
            due_ns = self._ways[one.direction].in_order(one.due_ns)
            self._wait(due_ns, one.direction, one.frame)
        self._wake()

    def _rows(self, batch: FrameBatch) -> Sequence[int]:
        if not self._by_segment:
            return range(len(batch))
        rows: list[int] = []
        for i, segments in enumerate(batch.segments.tolist()):
            rows.extend(batch.split(i) if segments > 1 else (i,))
        return rows

    def _wait(self, due_ns: int, direction: str, frame: HeldFrame | bytes) -> None:
        self._number += 1
        heapq.heappush(self._waiting, _Waiting(due_ns, self._number, direction, frame))

    def _release(self, now_ns: int) -> None:
        while self._waiting and self._waiting[0].due_ns <= now_ns:
            one = heapq.heappop(self._waiting)
            self.emit(one.frame, "inbound" if one.direction == "inbound" else "outbound")

    def _wake(self) -> None:
        if self._waiting:
            self.wake_at(self._waiting[0].due_ns)


class _Waiting(NamedTuple):
    """What was delayed; sorted by when it goes, then as it came."""

    due_ns: int
    number: int
    direction: str
    frame: HeldFrame | bytes


class _Fate(NamedTuple):
    drop: str = ""
    due_ns: int = 0
    is_marked: bool = False
    is_duplicated: bool = False
    counters: tuple[str, ...] = ()


class _Way:
    """One direction's dice, and its rate."""

    def __init__(self, options: ImpairOptions, direction: str) -> None:
        self._options = options
        # A text as seed is hashed with SHA-512: the same numbers on every machine and version.
        self._random = Random(f"{options.seed} {direction}").random
        self._is_losing = False
        self._free_at_ns = 0
        self._last_due_ns = 0
        self._reorders = bool(options.jitter_ms or options.reorder)

    def fate(self, now_ns: int, length: int, ecn: int) -> _Fate:
        """What becomes of a segment: decided in the order of a replay's wire."""
        options = self._options
        if options.mtu and length > options.mtu:
            return _Fate("too_big")
        if self._is_lost():
            return _Fate("lost")
        due_ns = now_ns
        if options.rate_mbit:
            begins_ns = max(self._free_at_ns, now_ns)
            if options.queue_ms and begins_ns - now_ns > options.queue_ms * _MS:
                return _Fate("queue_full")
            due_ns = self._free_at_ns = begins_ns + round(length * 8_000 / options.rate_mbit)
        due_ns += round(options.delay_ms * _MS)
        counters: list[str] = []
        if options.jitter_ms:
            due_ns += round(self._random() * options.jitter_ms * _MS)
        if self._happens(options.reorder):
            due_ns += round(options.reorder_ms * _MS)
            counters.append("reordered")
        # A router marks what is ECN-capable (RFC 3168 section 5).
        is_marked = ecn in (_ECT_1, _ECT_0) and self._happens(options.ce)
        if is_marked:
            counters.append("marked")
        is_duplicated = self._happens(options.duplicate)
        if is_duplicated:
            counters.append("duplicated")
        return _Fate("", self.in_order(due_ns), is_marked, is_duplicated, tuple(counters))

    def in_order(self, due_ns: int) -> int:
        """Not before an earlier one, unless that is asked for: after a reload the delay may be shorter."""
        if not self._reorders:
            due_ns = self._last_due_ns = max(due_ns, self._last_due_ns)
        return due_ns

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random() < share

    def _is_lost(self) -> bool:
        """Independent losses, or Gilbert's model: a bad state that loses all and lasts `burst`."""
        loss, burst = self._options.loss, self._options.loss_burst
        if burst <= 1:
            return self._happens(loss)
        if loss >= 1:
            return True
        leave = 1 / burst
        if self._is_losing:
            self._is_losing = not self._happens(leave)
        else:
            # So often that the share of losses is `loss`.
            self._is_losing = self._happens(loss * leave / (1 - loss))
        return self._is_losing
