"""tap: records frames in a pcapng file, or passes them to a callback.

    [[stages]]
    use = "tap"
    filter = "tcp port 443"
    options = { file = "web.pcapng", size_bytes = 100_000_000, keep = 3 }

Frames pass unchanged. If the file cannot be written any more, the tap logs it once, stops recording, and
counts the frames that it missed. A record is a frame as the tunnel moves it, up to 64 KiB in a fast transfer.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pyfw.observe import pcapng
from pyfw.observe.pcapng_file import PcapngFile
from pyfw.stage import Direction, FrameBatch, Stage

Callback = Callable[[Direction, int, bytes], object]
"""Called with a frame's direction, boot time in nanoseconds, and first bytes, from the IP header on."""


class TapOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where frames are recorded, and how much of them."""

    file: Path | None
    """Created with mode 0600, because it holds plaintext; an existing file is overwritten."""
    snap_length: Annotated[int, Meta(ge=1, le=pcapng.SNAP_LENGTH_MAX)] = pcapng.SNAP_LENGTH_MAX
    """Bytes recorded of each frame."""
    count: Annotated[int, Meta(ge=0)] = 0
    """Number of frames after which recording ends; 0: unlimited."""
    size_bytes: Annotated[int, Meta(ge=0)] = 0
    """A file is full after the batch that reaches this size; 0: unlimited."""
    keep: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Number of full files to keep, the latest as web.1.pcapng; 0: recording ends with the first."""

    def __post_init__(self) -> None:
        if self.keep and not self.size_bytes:
            raise ValueError("keep needs size_bytes, the size of one file")


class Tap(Stage):
    """Records frames. In code: `Tap(file="a.pcapng")`, or `Tap(callback=function)`.

    callback: called in the data thread, so it has to be fast.
    filter: a tcpdump expression; in a table it is a key next to `use`.
    """

    Options = TapOptions
    # A callback that raises must not cost traffic.
    on_error = "pass"

    def __init__(
        self,
        options: msgspec.Struct | None = None,
        *,
        callback: Callback | None = None,
        filter: str | None = None,  # noqa: A002 (the name of the stage's attribute)
        **fields: Any,
    ) -> None:
        if callback is not None and options is None:
            fields.setdefault("file", None)
        super().__init__(options, **fields)
        if filter is not None:
            self.filter = filter
        self._callback = callback
        self._file: PcapngFile | None = None
        self._left: int | None = self.options.count or None
        self._ended: Literal["", "done", "failed"] = ""
        self._unix_minus_boot_ns: int | None = None

    def start(self) -> None:
        """Opens the file; it is overwritten with the first frame. Raises OSError."""
        self._started_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self.options.file is not None:
            options = self.options
            self._file = PcapngFile(
                Path(options.file), self.name, options.snap_length, options.size_bytes, options.keep
            )
        elif self._callback is None:
            raise ValueError(f"stage {self.name} has neither a file nor a callback")

    def stop(self) -> None:
        """Closes the file. If no frame came, it is an empty capture."""
        if self._file is not None:
            if not self._ended:
                self._write([])
            self._file.close()

    def process(self, batch: FrameBatch) -> None:
        """Records a batch in one write."""
        if self._ended:
            if self._ended == "failed":
                self.count("missed", len(batch))
            return
        number = len(batch) if self._left is None else min(len(batch), self._left)
        if self._callback is not None:
            self._call(self._callback, batch, number)
        if self._file is not None and not self._write(self._records(batch, number)):
            self.count("missed", len(batch))
            return
        self.count("recorded", number)
        if self._left is not None:
            self._left -= number
            if not self._left:
                self._end("count reached")

    def handover(self) -> Any:
        """Hands over the open file."""
        file, self._file = self._file, None
        return file, self._ended, self._left, self.options.count

    def takeover(self, state: Any) -> None:
        """Continues the file, if the path is the same."""
        file, ended, left, count = state
        if file is None or self._file is None or file.path != self._file.path:
            if file is not None:
                file.close()
            return
        self._file.close()
        self._file = file
        file.size_bytes, file.keep = self.options.size_bytes, self.options.keep
        if count == self.options.count:
            self._ended, self._left = ended, left

    def _records(self, batch: FrameBatch, number: int) -> Iterator[bytes | memoryview]:
        offset_ns = self._offset_ns(batch.now_ns)
        snap_length = self.options.snap_length
        direction, times, lengths = self._direction(batch), batch.received_ns, batch.length
        for i in range(number):
            data = batch.data(i)[:snap_length]
            yield from pcapng.packet(times[i] + offset_ns, data, lengths[i], direction)

    def _call(self, callback: Callback, batch: FrameBatch, number: int) -> None:
        direction, times = self._direction(batch), batch.received_ns
        for i in range(number):
            callback(direction, times[i], bytes(batch.data(i)[: self.options.snap_length]))

    def _write(self, records: Iterable[bytes | memoryview]) -> bool:
        assert self._file is not None
        try:
            if not self._file.write(records):
                self._end("file full")
        except OSError as error:
            self._ended = "failed"
            self.log.warning("tap.failed", file=str(self._file.path), reason=error.strerror)
            return False
        return True

    def _end(self, reason: str) -> None:
        self._ended = "done"
        if self._file is not None:
            self._file.close()
        self.log.info("tap.ended", reason=reason)

    def _offset_ns(self, now_ns: int) -> int:
        """Returns Unix time minus boot time; in a replay 0, because its clock is virtual."""
        if self._unix_minus_boot_ns is None:
            boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            # With some tolerance: the first batch after a reload may have been read before `start`.
            is_live = self._started_ns - 1_000_000_000 <= now_ns <= boot_ns
            self._unix_minus_boot_ns = time.time_ns() - boot_ns if is_live else 0
        return self._unix_minus_boot_ns

    @staticmethod
    def _direction(batch: FrameBatch) -> Direction:
        return "inbound" if batch.direction == "inbound" else "outbound"
