"""The demo's results, as text for people and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from pyfw.demo.daemon_counters import GsoBatches
from pyfw.demo.terminal import Terminal
from pyfw.demo.transfer import Transfer
from pyfw.demo.web import PageLoad

_LABEL = 18
_COLUMN = 18
_BARS = "·▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class DirectionResult:
    """A transfer in one direction, with the counters of the kernels and daemons at both ends."""

    transfer: Transfer
    late: int
    out_of_order: int
    retransmitted: int
    segments: int
    gso: GsoBatches


@dataclass(frozen=True)
class DemoResult:
    """All measurements and counters of the demo."""

    handshake_ms: float
    web_server: str
    page: PageLoad
    up: DirectionResult
    down: DirectionResult
    client_drops: dict[str, int]
    gateway_drops: dict[str, int]
    seed_batches: list[list[int]]
    limits: list[str]

    @property
    def passed(self) -> bool:
        """Whether everything arrived unchanged and the tunnel reordered nothing."""
        return self.page.sha256_equal and all(
            direction.transfer.sha256_equal and direction.late == 0
            for direction in (self.up, self.down)
        )

    def as_json(self) -> dict[str, Any]:
        """Returns one object; `up` and `down` have the same keys."""
        return {
            "handshake_ms": self.handshake_ms,
            "page": {
                "server": self.web_server,
                "resources": self.page.resources,
                "bytes": self.page.bytes,
                "seconds": self.page.seconds,
                "sha256_equal": self.page.sha256_equal,
            },
            "up": _direction_json(self.up),
            "down": _direction_json(self.down),
            "drops": {"client": self.client_drops, "gateway": self.gateway_drops},
            "seed_batches": self.seed_batches,
            "limits": self.limits,
        }

    def as_text(self, terminal: Terminal) -> str:
        """Returns a table; colour marks what passed or failed."""
        both = (self.up, self.down)
        page = self.page
        lines = [
            "",
            terminal.styled("client ══ pyfw tunnel ══ gateway ── server", "bold"),
            "",
            _row("handshake", f"{self.handshake_ms:.1f} ms, with the first ping"),
            _row(
                "page",
                f"{page.resources} resources, {page.bytes / 1e6:.1f} MB in {page.seconds * 1e3:.0f} ms "
                f"({self.web_server}), "
                + _colour_by(terminal, page.sha256_equal, "SHA-256 equal", "SHA-256 DIFFERENT"),
            ),
            "",
            _row("", *(terminal.styled(f"{name:<{_COLUMN}}", "dim") for name in ("up", "down"))),
            _row("transferred", *(f"{one.transfer.bytes / (1 << 20):,.0f} MiB" for one in both)),
            _row("throughput", *(f"{one.transfer.gbit_s:.2f} Gbit/s" for one in both)),
            _row(
                "SHA-256",
                *(
                    _colour_by(terminal, one.transfer.sha256_equal, "equal", "DIFFERENT")
                    for one in both
                ),
            ),
            _row("segments received", *(f"{one.segments:,}" for one in both)),
            _row("GSO batches", *(f"{one.gso.batches:,} of {one.gso.mean:.1f}" for one in both)),
            _row("of 1 … 64+", *(_sparkline(one.gso.sizes) for one in both)),
            _row("late counters", *(_zero(terminal, one.late) for one in both)),
            _row("out of order", *(_zero(terminal, one.out_of_order) for one in both))
            + terminal.styled("TCPOFOQueue of the receiving kernel", "dim"),
            _row("retransmitted", *(f"{one.retransmitted:,}" for one in both)),
            _row("client dropped", _drops_text(self.client_drops)),
            _row("gateway dropped", _drops_text(self.gateway_drops)),
            "",
            _row("the seed's trace", " ".join(_batch_text(batch) for batch in self.seed_batches)),
            *(_row("limited", limit) for limit in self.limits),
        ]
        return "\n".join(line.rstrip() for line in lines)


def _direction_json(result: DirectionResult) -> dict[str, Any]:
    return {
        "bytes": result.transfer.bytes,
        "seconds": result.transfer.seconds,
        "gbit_s": result.transfer.gbit_s,
        "sha256": result.transfer.received_sha256,
        "sha256_equal": result.transfer.sha256_equal,
        "late": result.late,
        "out_of_order": result.out_of_order,
        "retransmitted": result.retransmitted,
        "segments": result.segments,
        "gso": asdict(result.gso),
    }


def _row(label: str, *cells: str) -> str:
    return f"  {label:<{_LABEL}} " + "".join(_padded(cell) for cell in cells)


def _padded(cell: str) -> str:
    # Escape sequences take no room on the screen.
    shown = cell
    while "\x1b[" in shown:
        before, _, rest = shown.partition("\x1b[")
        shown = before + rest.partition("m")[2]
    return cell + " " * max(_COLUMN - len(shown), 1)


def _colour_by(terminal: Terminal, passed: bool, yes: str, no: str) -> str:
    return terminal.styled(yes, "good") if passed else terminal.styled(no, "bad")


def _zero(terminal: Terminal, n: int) -> str:
    return terminal.styled(f"{n:,}", "bad" if n else "good")


def _drops_text(found: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in found.items()) if found else "none"


def _sparkline(counts: tuple[int, ...]) -> str:
    most = max(counts, default=0) or 1
    return "".join(_BARS[-(-n * (len(_BARS) - 1) // most)] for n in counts)


def _batch_text(batch: list[int]) -> str:
    return "[" + " ".join(map(str, batch)) + "]"
