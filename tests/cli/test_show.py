import base64

import pytest
from click.testing import CliRunner

from pyfw import _native
from pyfw.cli import show, show_fields
from pyfw.cli.group import group
from pyfw.control.uapi import client
from pyfw.control.uapi.client import Device, Peer

PRIVATE, PUBLIC, PEER, PSK = (bytes([n]) * 32 for n in (1, 2, 3, 4))
NOW = 1_700_000_000


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device(
        "wg0",
        private_key=PRIVATE,
        listen_port=51820,
        fwmark=0xCA6C,
        peers=[
            Peer(b"\x09" * 32),
            Peer(
                PEER,
                preshared_key=PSK,
                endpoint="192.0.2.1:7",
                allowed_ips=["10.0.0.0/8", "fd00::/8"],
                last_handshake_ns=(NOW - 90_061) * 1_000_000_000,
                received_bytes=1536,
                sent_bytes=3 << 30,
                persistent_keepalive=25,
            ),
        ],
    )
    monkeypatch.setattr(_native, "public_key", lambda _key: PUBLIC, raising=False)
    monkeypatch.setattr(client, "interfaces", lambda: ["wg0"])
    monkeypatch.setattr(client, "device", lambda _name: device)
    monkeypatch.setattr(client, "details", lambda _name: {"counters": {"x": 1}, "facts": {}})
    return device


def test_the_format_is_that_of_wg_show(device: Device) -> None:
    assert show.pretty(device, NOW).splitlines() == [
        "interface: wg0",
        f"  public key: {text(PUBLIC)}",
        "  private key: (hidden)",
        "  listening port: 51820",
        "  fwmark: 0xca6c",
        "",
        f"peer: {text(PEER)}",
        "  preshared key: (hidden)",
        "  endpoint: 192.0.2.1:7",
        "  allowed ips: 10.0.0.0/8, fd00::/8",
        "  latest handshake: 1 day, 1 hour, 1 minute, 1 second ago",
        "  transfer: 1.50 KiB received, 3.00 GiB sent",
        "  persistent keepalive: every 25 seconds",
        "",
        f"peer: {text(bytes([9]) * 32)}",
        "  allowed ips: (none)",
    ]


def test_wg_hide_keys_never_shows_keys(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WG_HIDE_KEYS", "never")
    assert f"private key: {text(PRIVATE)}" in show.pretty(device, NOW)


def test_dump_has_wgs_columns(device: Device) -> None:
    assert list(show_fields.field_lines(device, "dump")) == [
        f"{text(PRIVATE)}\t{text(PUBLIC)}\t51820\t0xca6c",
        f"{text(bytes([9]) * 32)}\t(none)\t(none)\t(none)\t0\t0\t0\toff",
        f"{text(PEER)}\t{text(PSK)}\t192.0.2.1:7\t10.0.0.0/8,fd00::/8"
        f"\t{NOW - 90_061}\t1536\t{3 << 30}\t25",
    ]


@pytest.mark.parametrize(
    ("field", "lines"),
    [
        ("public-key", [text(PUBLIC)]),
        ("private-key", [text(PRIVATE)]),
        ("listen-port", ["51820"]),
        ("fwmark", ["0xca6c"]),
        ("peers", [text(b"\x09" * 32), text(PEER)]),
        ("preshared-keys", [f"{text(bytes([9]) * 32)}\t(none)", f"{text(PEER)}\t{text(PSK)}"]),
        ("endpoints", [f"{text(bytes([9]) * 32)}\t(none)", f"{text(PEER)}\t192.0.2.1:7"]),
        (
            "allowed-ips",
            [f"{text(bytes([9]) * 32)}\t(none)", f"{text(PEER)}\t10.0.0.0/8 fd00::/8"],
        ),
        ("latest-handshakes", [f"{text(bytes([9]) * 32)}\t0", f"{text(PEER)}\t{NOW - 90_061}"]),
        ("transfer", [f"{text(bytes([9]) * 32)}\t0\t0", f"{text(PEER)}\t1536\t{3 << 30}"]),
        ("persistent-keepalive", [f"{text(bytes([9]) * 32)}\toff", f"{text(PEER)}\t25"]),
    ],
)
def test_fields_have_wgs_columns(field: str, lines: list[str]) -> None:
    assert CliRunner().invoke(group, ["show", "wg0", field]).output.splitlines() == lines
    of_all = CliRunner().invoke(group, ["show", "all", field]).output.splitlines()
    assert of_all == [f"wg0\t{line}" for line in lines]


def test_a_missing_key_or_mark_is_shown_as_by_wg() -> None:
    device = Device("wg1")
    assert [*show_fields.field_lines(device, "public-key")] == ["(none)"]
    assert [*show_fields.field_lines(device, "fwmark")] == ["off"]


def test_dump_of_all_begins_lines_with_the_interface() -> None:
    lines = CliRunner().invoke(group, ["show", "all", "dump"]).output.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("wg0\t") for line in lines)


def test_json_has_counters_and_no_secrets() -> None:
    import json

    output = CliRunner().invoke(group, ["show", "wg0", "--json"]).output
    shown = json.loads(output)
    assert shown["counters"] == {"x": 1}
    assert shown["peers"][1]["has_preshared_key"] is True
    assert text(PRIVATE) not in output
    assert text(PSK) not in output


def test_interfaces_are_listed() -> None:
    assert CliRunner().invoke(group, ["show", "interfaces"]).output == "wg0\n"


def test_system_errors_are_reported_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> Device:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client, "device", refused)
    done = CliRunner().invoke(group, ["show", "wg9"])
    assert done.exit_code == 1
    hint = "needs root or CAP_NET_ADMIN"
    assert done.stderr == f"pyfw: cannot show wg9: Permission denied ({hint})\n"


def test_an_unknown_field_or_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(group, ["show", "wg0", "dumb"]).exit_code == 2
    assert CliRunner().invoke(group, ["shew"]).exit_code == 2


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1 << 20, "1.00 MiB"),
        (5 << 40, "5.00 TiB"),
    ],
)
def test_sizes_have_wgs_format(count: int, text: str) -> None:
    assert show.size(count) == text


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), ConnectionRefusedError(111, "no")])
def test_an_interface_without_a_daemon_is_an_error(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def absent(name: str) -> Device:
        raise error

    monkeypatch.setattr(client, "device", absent)
    done = CliRunner().invoke(group, ["show", "wg9"])
    assert done.exit_code == 1
    assert done.stderr.startswith("pyfw: no daemon answers for wg9")
