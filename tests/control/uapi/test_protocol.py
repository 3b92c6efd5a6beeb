import errno
from collections.abc import Iterator

import pytest

from pyfw.control.uapi import protocol
from pyfw.control.uapi.protocol import UapiError
from pyfw.tunnel import Tunnel
from tests.fake_engine import engine_of, fake_tunnel

A, B = b"\x0a" * 32, b"\x0b" * 32
OWN = b"\xee" * 32


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    with fake_tunnel(monkeypatch) as opened:
        yield opened


def set_(tunnel: Tunnel, *lines: str) -> None:
    protocol.set_(tunnel, lines)


def test_get_replies_in_the_order_of_wireguard_go(tunnel: Tunnel) -> None:
    set_(
        tunnel,
        f"private_key={'11' * 32}",
        "listen_port=4711",
        "fwmark=7",
        f"public_key={A.hex()}",
        f"preshared_key={'22' * 32}",
        "endpoint=[2001:db8::1]:51820",
        "persistent_keepalive_interval=25",
        "allowed_ip=10.0.0.9/8",
        "allowed_ip=fd00::/8",
        f"public_key={B.hex()}",
    )
    engine_of(tunnel).by_key[A] |= {
        "last_handshake_ns": 1_700_000_000_000_000_042,
        "sent_bytes": 148,
        "received_bytes": 92,
    }
    assert protocol.get(tunnel).splitlines() == [
        f"private_key={'11' * 32}",
        "listen_port=4711",
        "fwmark=7",
        f"public_key={A.hex()}",
        f"preshared_key={'22' * 32}",
        "protocol_version=1",
        "endpoint=[2001:db8::1]:51820",
        "last_handshake_time_sec=1700000000",
        "last_handshake_time_nsec=42",
        "tx_bytes=148",
        "rx_bytes=92",
        "persistent_keepalive_interval=25",
        "allowed_ip=10.0.0.0/8",
        "allowed_ip=fd00::/8",
        f"public_key={B.hex()}",
        f"preshared_key={'00' * 32}",
        "protocol_version=1",
        "last_handshake_time_sec=0",
        "last_handshake_time_nsec=0",
        "tx_bytes=0",
        "rx_bytes=0",
        "persistent_keepalive_interval=0",
    ]


def test_unset_values_are_not_sent(tunnel: Tunnel) -> None:
    engine_of(tunnel).listen_port = 0
    assert protocol.get(tunnel) == ""


def test_a_private_key_of_zeros_removes_the_key(tunnel: Tunnel) -> None:
    set_(tunnel, f"private_key={'11' * 32}")
    set_(tunnel, f"private_key={'00' * 32}")
    assert engine_of(tunnel).private_key is None


def test_update_only_adds_no_peer(tunnel: Tunnel) -> None:
    set_(tunnel, f"public_key={A.hex()}", "update_only=true", "persistent_keepalive_interval=5")
    assert tunnel.peers() == []


def test_remove_ignores_the_other_lines_of_the_peer(tunnel: Tunnel) -> None:
    set_(tunnel, f"public_key={A.hex()}")
    set_(tunnel, f"public_key={A.hex()}", "remove=true", "allowed_ip=10.0.0.0/8")
    assert tunnel.peers() == []


def test_replace_peers_removes_the_peers_before_it(tunnel: Tunnel) -> None:
    set_(tunnel, f"public_key={A.hex()}")
    set_(tunnel, "replace_peers=true", f"public_key={B.hex()}")
    assert [peer.public_key for peer in tunnel.peers()] == [B]


def test_the_own_public_key_adds_no_peer(tunnel: Tunnel) -> None:
    set_(tunnel, f"public_key={OWN.hex()}", "allowed_ip=10.0.0.0/8")
    assert tunnel.peers() == []


def test_the_last_line_for_a_prefix_counts(tunnel: Tunnel) -> None:
    set_(tunnel, f"public_key={A.hex()}", "allowed_ip=10.0.0.0/8", "allowed_ip=10.1.0.0/16")
    set_(
        tunnel,
        f"public_key={A.hex()}",
        "allowed_ip=-10.0.0.0/8",
        "allowed_ip=10.2.0.0/16",
        "allowed_ip=-10.2.0.0/16",
        "allowed_ip=-10.1.0.0/16",
        "allowed_ip=10.1.0.0/16",
    )
    assert tunnel.peers()[0].allowed_ips == ["10.1.0.0/16"]


def test_replace_allowed_ips_keeps_those_that_follow(tunnel: Tunnel) -> None:
    set_(tunnel, f"public_key={A.hex()}", "allowed_ip=10.0.0.0/8")
    set_(
        tunnel,
        f"public_key={A.hex()}",
        "allowed_ip=10.3.0.0/16",
        "replace_allowed_ips=true",
        "allowed_ip=10.2.0.0/16",
    )
    assert tunnel.peers()[0].allowed_ips == ["10.2.0.0/16"]


def test_after_a_port_in_use_the_old_port_stays(tunnel: Tunnel) -> None:
    set_(tunnel, "listen_port=4711")
    with pytest.raises(UapiError) as caught:
        set_(tunnel, "listen_port=65000")
    assert caught.value.number == errno.EADDRINUSE
    assert engine_of(tunnel).listen_port == 4711


def test_the_present_port_is_not_bound_again(tunnel: Tunnel) -> None:
    set_(tunnel, "listen_port=4711")
    engine_of(tunnel).calls.clear()
    set_(tunnel, "listen_port=4711")
    assert engine_of(tunnel).calls == []


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("no equals sign", errno.EPROTO),
        ("private_key=11", errno.EINVAL),
        (f"private_key={'zz' * 32}", errno.EINVAL),
        ("listen_port=65536", errno.EINVAL),
        ("listen_port=", errno.EINVAL),
        ("listen_port=-1", errno.EINVAL),
        ("fwmark=4294967296", errno.EINVAL),
        ("fwmark=0x1", errno.EINVAL),
        ("replace_peers=false", errno.EINVAL),
        ("unknown=1", errno.EINVAL),
        ("public_key=", errno.EINVAL),
    ],
)
def test_a_malformed_device_line_has_an_errno(tunnel: Tunnel, line: str, number: int) -> None:
    with pytest.raises(UapiError) as caught:
        set_(tunnel, line)
    assert caught.value.number == number


@pytest.mark.parametrize(
    "line",
    [
        "update_only=false",
        "remove=1",
        "preshared_key=1",
        "endpoint=host:7",
        "endpoint=192.0.2.1",
        "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=off",
        "replace_allowed_ips=",
        "allowed_ip=",
        "allowed_ip=-",
        "allowed_ip=10.0.0.1",
        "allowed_ip=10.0.0.0/33",
        "protocol_version=2",
        "private_key=" + "11" * 32,
    ],
)
def test_after_a_malformed_peer_line_nothing_is_changed(tunnel: Tunnel, line: str) -> None:
    engine_of(tunnel).calls.clear()
    with pytest.raises(UapiError) as caught:
        set_(tunnel, "fwmark=9", f"public_key={A.hex()}", line)
    assert caught.value.number == errno.EINVAL
    assert engine_of(tunnel).calls == []


def test_errors_contain_no_key(tunnel: Tunnel) -> None:
    with pytest.raises(UapiError) as caught:
        set_(tunnel, f"private_key={'ab' * 31}")
    assert "abab" not in str(caught.value)


def test_details_contain_counters_but_no_secrets(tunnel: Tunnel) -> None:
    set_(tunnel, f"private_key={'11' * 32}", f"public_key={A.hex()}", f"preshared_key={'22' * 32}")
    shown = protocol.details(tunnel)
    assert '"late":0' in shown
    assert "1111" not in shown
    assert "2222" not in shown
