"""A plain model of how gso_egress batches datagrams: the oracle of its tests."""

from dataclasses import dataclass, field

# udp(7): the largest payload of one send; RFC 768 and RFC 8200 less their headers.
BYTES_MAX = {4: 65_507, 6: 65_527}


@dataclass(frozen=True)
class Datagram:
    """One UDP payload, before it is sent."""

    source: str
    destination: str
    length: int
    ecn: int = 0


@dataclass
class Batch:
    """An expected send."""

    first: Datagram
    numbers: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def admits(self, datagram: Datagram, max_segments: int) -> bool:
        """Whether this batch, the newest to its destination, may take the datagram."""
        same_path = (datagram.source, datagram.ecn) == (self.first.source, self.first.ecn)
        segment = self.first.length
        open_ = all(length == segment for length in self.lengths)
        bytes_max = BYTES_MAX[6 if datagram.destination.startswith("[") else 4]
        fits = sum(self.lengths) + datagram.length <= bytes_max
        return (
            same_path
            and open_
            and datagram.length <= segment
            and len(self.lengths) < max_segments
            and fits
        )


def batches(datagrams: list[Datagram], max_segments: int = 64) -> list[Batch]:
    """Returns the expected batches, oldest first."""
    expected: list[Batch] = []
    newest: dict[str, Batch] = {}
    for number, datagram in enumerate(datagrams):
        batch = newest.get(datagram.destination)
        if batch is None or not batch.admits(datagram, max_segments):
            batch = newest[datagram.destination] = Batch(datagram)
            expected.append(batch)
        batch.numbers.append(number)
        batch.lengths.append(datagram.length)
    return expected
