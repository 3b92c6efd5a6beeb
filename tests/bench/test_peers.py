"""Installing peers: their versions, and why one is unavailable."""

from pathlib import Path

import pytest

from bench import peers
from bench.peers import Crate, GoModule, PeerUnavailable, go_version, install, printed_version

GO = """\
build/peers/wireguard: go1.26.8
\tpath\tgolang.zx2c4.com/wireguard
\tmod\tgolang.zx2c4.com/wireguard\tv0.0.0-20260522210424-ecfc5a8d5446\th1:abc=
\tdep\tgolang.org/x/crypto\tv0.52.0\th1:def=
"""


def test_go_version_is_read_from_the_binary() -> None:
    version = go_version(GO, "golang.zx2c4.com/wireguard")
    assert version == "v0.0.0-20260522210424-ecfc5a8d5446"


def test_binary_of_another_module_is_rejected() -> None:
    with pytest.raises(PeerUnavailable, match=r"not github\.com/tailscale/wireguard-go"):
        go_version(GO, "github.com/tailscale/wireguard-go")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("boringtun-cli 0.7.1\n", "0.7.1"),
        ("gotatun-cli 0.10.2\ngotatun-cli 0.10.2\n", "0.10.2"),
        ("some 1.2.0-rc.1\n", "1.2.0-rc.1"),
    ],
)
def test_printed_version_is_the_first_number(output: str, version: str) -> None:
    assert printed_version(output) == version


def test_output_without_a_version_is_rejected() -> None:
    with pytest.raises(PeerUnavailable, match="no version"):
        printed_version("usage: wireguard\n")


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peers, "_DIRECTORY", tmp_path)
    found = dict(install(["wireguard-go", "boringtun"]))
    assert str(found["wireguard-go"]) == "go, which builds it, is not installed"
    assert str(found["boringtun"]) == "cargo, which builds it, is not installed"


def test_only_the_fork_is_pinned() -> None:
    versions = {
        name: peer.version for name, peer in peers.PEERS.items() if isinstance(peer, GoModule)
    }
    assert versions["wireguard-go"] == "latest"
    assert "-" in versions["tailscale"]
    assert all(peer.crate for peer in peers.PEERS.values() if isinstance(peer, Crate)), (
        "cargo takes the newest of a crate"
    )
