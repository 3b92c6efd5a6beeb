"""The user's stages of one tunnel at work: started, in a chain, exchanged while traffic flows, stopped.

In: stages and how they were asked for. Out: the chain that an engine or a replay runs. Order: between two
batches one version of a stage ends and the next begins; what it holds stays held. A stage that cannot
start changes nothing: those that ran go on.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pyfw import _native
from pyfw.config.problem import ConfigError
from pyfw.config.stages import StageConfig
from pyfw.stage import Stage
from pyfw.stages.load import StageLoadError, guarded, in_one_process, source_of

_T = TypeVar("_T")

SWITCH_INTERVAL_S = 0.0005
"""How long another Python thread may keep a data thread waiting; CPython's own is ten times as long."""


class _Seat(msgspec.Struct):
    stage: Stage
    config: StageConfig
    slot: _native.StageSlot
    source: str
    """What the stage's own file was when it was loaded."""


class StageSet:
    """Stages in the order in which frames meet them, in both directions."""

    def __init__(self, stages: Sequence[Stage] = (), configs: Sequence[StageConfig] = ()) -> None:
        self.chain = _native.StageChain()
        self._seats: list[_Seat] = []
        self._left_behind: list[_Seat] = []
        self._first = (tuple(stages), _configs(stages, configs))

    def __bool__(self) -> bool:
        return bool(self._seats or self._first[0])

    @property
    def stages(self) -> list[Stage]:
        """Those at work."""
        return [seat.stage for seat in self._seats]

    def start(self) -> None:
        """Starts them and puts them into the chain. Raises what a stage's `start` raises; then none runs."""
        stages, configs = self._first
        if stages:
            self.change(stages, configs)

    def change(self, stages: Sequence[Stage], configs: Sequence[StageConfig] = ()) -> None:
        """Goes over to other stages between two batches; those of the same name hand over.

        One whose table and whose own file are as they were goes on as it is. Raises what a stage's `start`,
        `handover` or `takeover` raises (with configs as ConfigError, at the line that did it), and
        RuntimeError for one that does not come back from a call, and to a stage that asks for it in a call of
        its own; those that ran before go on then.
        """
        self.refuse_from_within("change the stages it stands among")
        if stages:
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        before = {seat.stage.name: seat for seat in self._seats}
        are_found = bool(configs)  # anew, from tables: then only what changed counts
        seats: list[_Seat] = []
        started: list[Stage] = []
        try:
            for stage, config in zip(stages, _configs(stages, configs), strict=True):
                seat = before.get(stage.name)
                source = _source(stage)
                if seat is not None and seat.slot.is_out:
                    seat = None
                same = are_found and seat and (seat.config, seat.source) == (config, source)
                if seat is not None and (same or seat.stage is stage):
                    seats.append(seat)
                    continue
                slot = seat.slot if seat is not None else None
                slot = slot or self.chain.slot(stage, **_slot_options(stage, config))
                stage._slot = slot  # the one place that binds a stage
                started.append(stage)
                _call(stage, "cannot start", stage.start, told=are_found)
                seats.append(_Seat(stage, config, slot, source))
            self._exchange(seats, before, told=are_found)
        except BaseException:
            for stage in reversed(started):
                _stop(stage)
            raise
        leaving = [seat for seat in self._seats if not any(seat.stage is s.stage for s in seats)]
        self.chain.set([seat.slot for seat in seats])
        self._seats = seats
        for seat in leaving:
            is_replaced = any(seat.slot is other.slot for other in seats)
            if is_replaced or _is_idle(seat):
                _stop(seat.stage)
            else:
                self._left_behind.append(seat)

    def refuse_from_within(self, what: str) -> None:
        """Raises RuntimeError in a call of one of the stages: it would wait for itself."""
        if self.chain.is_entered:
            raise RuntimeError(
                f"a stage cannot {what} in a call of its own: it would wait for itself"
            )

    def stop(self) -> None:
        """Takes all of them out and stops them."""
        self._first = ((), ())
        self.change(())

    @property
    def has_left_behind(self) -> bool:
        """Whether a thread is still inside of a stage that was stopped."""
        return any(seat.slot.is_busy for seat in self._left_behind)

    def files(self) -> list[Path]:
        """The stages' own source files."""
        return [Path(file) for seat in self._seats if (file := source_of(type(seat.stage))[0])]

    def counters(self) -> _native.ChainCounters:
        """Returns what the stages counted."""
        return self.chain.counters()

    def _exchange(self, seats: Sequence[_Seat], before: dict[str, _Seat], *, told: bool) -> None:
        """Puts new versions into the slots of old ones, all or none: each waits while the next goes over."""
        pairs = [(before[seat.stage.name], seat) for seat in seats if seat.stage.name in before]
        changed = [(o, n) for o, n in pairs if o.slot is n.slot and o.stage is not n.stage]

        def exchange(at: int) -> None:
            if at == len(changed):
                return
            old, new = changed[at]

            def hand_over() -> None:
                state = _call(old.stage, "cannot hand over", old.stage.handover, told=told)
                if state is not None:
                    take_over = new.stage.takeover
                    _call(new.stage, "cannot take over", lambda: take_over(state), told=told)
                exchange(at + 1)

            new.slot.replace(new.stage, hand_over, **_slot_options(new.stage, new.config))

        exchange(0)


def _configs(stages: Sequence[Stage], configs: Sequence[StageConfig]) -> tuple[StageConfig, ...]:
    return tuple(configs) or tuple(StageConfig(use=type(stage).__name__) for stage in stages)


def _slot_options(stage: Stage, config: StageConfig) -> dict[str, Any]:
    words = {"bpf": stage.filter} if isinstance(stage.filter, str) else stage.filter
    return {
        "name": stage.name,
        "direction": stage.direction,
        "peers": None if stage.peers is None else list(stage.peers),
        "filter": None if words is None else dict(words),
        "reorders": stage.reorders,
        "on_error": stage.on_error,
        "tick_ms": stage.tick_ms,
        "hold_frames": stage.hold_frames,
        "hold_bytes": stage.hold_bytes,
        "failures": config.failures,
        "stall_s": config.stall_s,
        "outcome": config.outcome,
    }


def _source(stage: Stage) -> str:
    file, _ = source_of(type(stage))
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except OSError:
        return ""


def _call(stage: Stage, what: str, call: Callable[[], _T], *, told: bool) -> _T:
    """A call of a stage's own; what it raises is told at its line where its table is the operator's."""
    if not told:
        return in_one_process(call)
    try:
        return guarded(f"{stage.name} {what}", source_of(type(stage)), call)
    except StageLoadError as wrong:
        raise ConfigError(wrong.problems) from None


def _is_idle(seat: _Seat) -> bool:
    try:
        # One that was taken out because it did not come back was waited for before.
        seat.slot.wait_idle(0.1 if seat.slot.is_out else 2.0)
    except RuntimeError as error:
        seat.stage.log.error("stage.left_behind", reason=str(error))
        return False
    return True


def _stop(stage: Stage) -> None:
    try:
        in_one_process(stage.stop)
    except Exception as error:  # its own affair: it is out already
        stage.log.error("stage.stop_failed", reason=f"{type(error).__name__}: {error}")
    stage._slot = None
