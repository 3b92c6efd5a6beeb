"""The stages of one tunnel while they run: starts them, replaces them between batches, stops them.

`chain` is what an engine or a replay runs. A replaced stage hands its state and held frames to the next
version between two batches. If a new stage cannot start, the previous stages keep running.
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
from pyfw.stages.guard import StageLoadError, guarded, in_parent, source_location

_T = TypeVar("_T")

SWITCH_INTERVAL_S = 0.0005
"""How long another Python thread may delay a data thread; a tenth of CPython's default."""


class _RunningStage(msgspec.Struct):
    stage: Stage
    config: StageConfig
    slot: _native.StageSlot
    source: str
    """Digest of the stage's own file when it was loaded."""


class StageSet:
    """Stages in the order in which frames pass them, in both directions."""

    def __init__(self, stages: Sequence[Stage] = (), configs: Sequence[StageConfig] = ()) -> None:
        self.chain = _native.StageChain()
        self._running: list[_RunningStage] = []
        self._left_behind: list[_RunningStage] = []
        self._initial = (tuple(stages), _configs(stages, configs))

    def __bool__(self) -> bool:
        return bool(self._running or self._initial[0])

    @property
    def stages(self) -> list[Stage]:
        """The running stages."""
        return [running.stage for running in self._running]

    def start(self) -> None:
        """Starts the stages. Raises what a stage's `start` raises; then none runs."""
        stages, configs = self._initial
        if stages:
            self.change(stages, configs)

    def change(self, stages: Sequence[Stage], configs: Sequence[StageConfig] = ()) -> None:
        """Replaces the stages between two batches; a stage hands over to the new one of the same name.

        With configs, a stage whose table and source file are unchanged keeps running. Raises what a stage's
        `start`, `handover` or `takeover` raises (with configs as ConfigError, at the line that raised), and
        RuntimeError if a stage's call does not return, or if this is called from within a stage's call; then
        the previous stages keep running.
        """
        self.refuse_in_call("change the stages of its tunnel")
        if stages:
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        before = {running.stage.name: running for running in self._running}
        is_configured = bool(configs)
        after: list[_RunningStage] = []
        started: list[Stage] = []
        try:
            for stage, config in zip(stages, _configs(stages, configs), strict=True):
                old = before.get(stage.name)
                source = _source_digest(stage)
                if old is not None and old.slot.is_out:
                    old = None
                is_same = is_configured and old and (old.config, old.source) == (config, source)
                if old is not None and (is_same or old.stage is stage):
                    after.append(old)
                    continue
                slot = old.slot if old is not None else None
                slot = slot or self.chain.slot(stage, **_slot_options(stage, config))
                stage._slot = slot  # from here on the stage can emit and count
                started.append(stage)
                _call(stage, "cannot start", stage.start, is_configured)
                after.append(_RunningStage(stage, config, slot, source))
            self._hand_over(before, after, is_configured)
        except BaseException:
            for stage in reversed(started):
                _stop(stage)
            raise
        removed = [old for old in self._running if not any(old.stage is new.stage for new in after)]
        self.chain.set([running.slot for running in after])
        self._running = after
        for old in removed:
            is_replaced = any(old.slot is new.slot for new in after)
            if is_replaced or _is_idle(old):
                _stop(old.stage)
            else:
                self._left_behind.append(old)

    def refuse_in_call(self, action: str) -> None:
        """Raises RuntimeError if this thread is inside a call of one of the stages."""
        if self.chain.is_entered:
            raise RuntimeError(
                f"a stage cannot {action} from within its own call, which this would wait for"
            )

    def stop(self) -> None:
        """Removes and stops all stages."""
        self._initial = ((), ())
        self.change(())

    @property
    def has_left_behind(self) -> bool:
        """Whether a thread is still inside a call of a removed stage."""
        return any(running.slot.is_busy for running in self._left_behind)

    def files(self) -> list[Path]:
        """The stages' own source files."""
        files = (source_location(type(stage))[0] for stage in self.stages)
        return [Path(file) for file in files if file]

    def counters(self) -> _native.ChainCounters:
        """The stages' counters."""
        return self.chain.counters()

    def _hand_over(
        self, before: dict[str, _RunningStage], after: Sequence[_RunningStage], is_configured: bool
    ) -> None:
        """Replaces stages in their slots, all or none: none of them is called until all have taken over."""
        pairs = [(before[new.stage.name], new) for new in after if new.stage.name in before]
        replaced = [
            (old, new) for old, new in pairs if old.slot is new.slot and old.stage is not new.stage
        ]

        def replace(index: int) -> None:
            if index == len(replaced):
                return
            old, new = replaced[index]

            def hand_over() -> None:
                state = _call(old.stage, "cannot hand over", old.stage.handover, is_configured)
                if state is not None:
                    take_over = new.stage.takeover
                    _call(new.stage, "cannot take over", lambda: take_over(state), is_configured)
                replace(index + 1)

            new.slot.replace(new.stage, hand_over, **_slot_options(new.stage, new.config))

        replace(0)


def _configs(stages: Sequence[Stage], configs: Sequence[StageConfig]) -> tuple[StageConfig, ...]:
    return tuple(configs) or tuple(StageConfig(use=type(stage).__name__) for stage in stages)


def _slot_options(stage: Stage, config: StageConfig) -> dict[str, Any]:
    selected = {"bpf": stage.filter} if isinstance(stage.filter, str) else stage.filter
    return {
        "name": stage.name,
        "direction": stage.direction,
        "peers": None if stage.peers is None else list(stage.peers),
        "filter": None if selected is None else dict(selected),
        "reorders": stage.reorders,
        "on_error": stage.on_error,
        "tick_ms": stage.tick_ms,
        "hold_frames": stage.hold_frames,
        "hold_bytes": stage.hold_bytes,
        "failures": config.failures,
        "stall_s": config.stall_s,
        "outcome": config.outcome,
    }


def _source_digest(stage: Stage) -> str:
    file, _ = source_location(type(stage))
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except OSError:
        return ""


def _call(stage: Stage, failure: str, call: Callable[[], _T], is_configured: bool) -> _T:
    """Calls a method of a stage. For a configured stage, an exception becomes a ConfigError with its line."""
    if not is_configured:
        return in_parent(call)
    try:
        return guarded(f"{stage.name} {failure}", source_location(type(stage)), call)
    except StageLoadError as error:
        raise ConfigError(error.problems) from None


def _is_idle(running: _RunningStage) -> bool:
    """Waits until no call of a removed stage runs; logs it if one does not return."""
    try:
        # A stage that is out was removed because it does not return, so waiting longer does not help.
        running.slot.wait_idle(0.1 if running.slot.is_out else 2.0)
    except RuntimeError as error:
        running.stage.log.error("stage.left_behind", reason=str(error))
        return False
    return True


def _stop(stage: Stage) -> None:
    try:
        in_parent(stage.stop)
    except Exception as error:  # the stage is already removed, so it only affects itself
        stage.log.error("stage.stop_failed", reason=f"{type(error).__name__}: {error}")
    stage._slot = None
