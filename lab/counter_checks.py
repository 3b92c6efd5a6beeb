"""Checks that a pyfw daemon's counters account for every packet (see pyfw.Tunnel.counters)."""

from typing import Any


def imbalances(counters: dict[str, Any]) -> list[str]:
    """Returns a line for each place where packets are missing or surplus; empty if the counters balance.

    For each path: entered + created = left + queued + drops. For datagrams: received = the kinds + drops,
    and every data message enters the inbound path.
    """
    found = []
    for path in ("outbound", "inbound"):
        row = counters[path]
        came = row["entered"] + row["created"]
        went = row["left"] + row["queued"] + sum(row["drops"].values())
        if came != went:
            found.append(f"{path}: {came} came, {went} accounted for: {row}")
    row = counters["datagrams"]
    kinds = sum(row[kind] for kind in ("data", "handshakes", "cookies", "keepalives", "others"))
    if row["received"] != kinds + sum(row["drops"].values()):
        found.append(f"datagrams: {row}")
    if row["data"] != counters["inbound"]["entered"]:
        found.append(
            f"{row['data']} data messages, {counters['inbound']['entered']} packets entered"
        )
    return found
