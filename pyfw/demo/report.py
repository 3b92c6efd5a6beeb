"""The demo's account: what was measured and counted, as text for people and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from pyfw.demo.counter_checks import GsoBatches
from pyfw.demo.terminal import Terminal
from pyfw.demo.transfer import Transfer
from pyfw.demo.web import PageLoad

_LABEL = 18
_COLUMN = 18
_BARS = "·▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Direction:
    """A transfer in one direction and what both kernels and both daemons counted of it."""

    transfer: Transfer
    late: int
    out_of_order: int
    retransmitted: int
    segments: int
    gso: GsoBatches


@dataclass(frozen=True)
class Account:
    """All that the demo found."""

    handshake_ms: float
    web_server: str
    page: PageLoad
    up: Direction
    down: Direction
    client_drops: dict[str, int]
    gateway_drops: dict[str, int]
    seed_batches: list[list[int]]
    limits: list[str]

    @property
    def good(self) -> bool:
        """Whether all that was sent came, unchanged, and nothing was reordered in the tunnel."""
        ways = (self.up, self.down)
        return self.page.sha256_equal and all(
            way.transfer.sha256_equal and way.late == 0 for way in ways
        )

    def as_json(self) -> dict[str, Any]:
        """One object; `up` and `down` have the same keys."""
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
        """A table, with what matters most in colour."""
        ways = (self.up, self.down)
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
                + _judged(terminal, page.sha256_equal, "SHA-256 equal", "SHA-256 DIFFERENT"),
            ),
            "",
            _row("", *(terminal.styled(f"{name:<{_COLUMN}}", "dim") for name in ("up", "down"))),
            _row("moved", *(f"{way.transfer.bytes / (1 << 20):,.0f} MiB" for way in ways)),
            _row("throughput", *(f"{way.transfer.gbit_s:.2f} Gbit/s" for way in ways)),
            _row(
                "SHA-256",
                *(
                    _judged(terminal, way.transfer.sha256_equal, "equal", "DIFFERENT")
                    for way in ways
                ),
            ),
            _row("segments received", *(f"{way.segments:,}" for way in ways)),
            _row("GSO batches", *(f"{way.gso.batches:,} of {way.gso.mean:.1f}" for way in ways)),
            _row("of 1 … 64+", *(_sparkline(way.gso.sizes) for way in ways)),
            _row("late counters", *(_zero(terminal, way.late) for way in ways)),
            _row("out of order", *(_zero(terminal, way.out_of_order) for way in ways))
            + terminal.styled("TCPOFOQueue of the receiving kernel", "dim"),
            _row("retransmitted", *(f"{way.retransmitted:,}" for way in ways)),
            _row("client dropped", _drops_text(self.client_drops)),
            _row("gateway dropped", _drops_text(self.gateway_drops)),
            "",
            _row("the seed's trace", " ".join(_batch_text(batch) for batch in self.seed_batches)),
            *(_row("limited", limit) for limit in self.limits),
        ]
        return "\n".join(line.rstrip() for line in lines)


def _direction_json(way: Direction) -> dict[str, Any]:
    return {
        "bytes": way.transfer.bytes,
        "seconds": way.transfer.seconds,
        "gbit_s": way.transfer.gbit_s,
        "sha256": way.transfer.received_sha256,
        "sha256_equal": way.transfer.sha256_equal,
        "late": way.late,
        "out_of_order": way.out_of_order,
        "retransmitted": way.retransmitted,
        "segments": way.segments,
        "gso": asdict(way.gso),
    }


def _row(label: str, *cells: str) -> str:
    return f"  {label:<{_LABEL}} " + "".join(_padded(cell) for cell in cells)


def _padded(cell: str) -> str:
    # Colour takes no room on the screen.
    shown = cell
    while "\x1b[" in shown:
        before, _, rest = shown.partition("\x1b[")
        shown = before + rest.partition("m")[2]
    return cell + " " * max(_COLUMN - len(shown), 1)


def _judged(terminal: Terminal, good: bool, yes: str, no: str) -> str:
    return terminal.styled(yes, "good") if good else terminal.styled(no, "bad")


def _zero(terminal: Terminal, n: int) -> str:
    return terminal.styled(f"{n:,}", "bad" if n else "good")


def _drops_text(found: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in found.items()) if found else "none"


def _sparkline(counts: tuple[int, ...]) -> str:
    most = max(counts, default=0) or 1
    return "".join(_BARS[-(-n * (len(_BARS) - 1) // most)] for n in counts)


def _batch_text(batch: list[int]) -> str:
    return "[" + " ".join(map(str, batch)) + "]"
