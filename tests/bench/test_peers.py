"""Peers: which version one is, and why one is left out."""

from pathlib import Path

import pytest

from bench import peers
from bench.peers import Crate, GoModule, LeftOut, go_version, install, printed_version

GO = """\
build/peers/wireguard: go1.26.8
\tpath\tgolang.zx2c4.com/wireguard
\tmod\tgolang.zx2c4.com/wireguard\tv0.0.0-20260522210424-ecfc5a8d5446\th1:abc=
\tdep\tgolang.org/x/crypto\tv0.52.0\th1:def=
"""


def test_the_version_of_a_go_module_is_what_go_wrote_into_it() -> None:
    version = go_version(GO, "golang.zx2c4.com/wireguard")
    assert version == "v0.0.0-20260522210424-ecfc5a8d5446"


def test_a_binary_of_another_module_is_left_out() -> None:
    with pytest.raises(LeftOut, match=r"not github\.com/tailscale/wireguard-go"):
        go_version(GO, "github.com/tailscale/wireguard-go")


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("boringtun-cli 0.7.1\n", "0.7.1"),
        ("gotatun-cli 0.10.2\ngotatun-cli 0.10.2\n", "0.10.2"),
        ("some 1.2.0-rc.1\n", "1.2.0-rc.1"),
    ],
)
def test_a_printed_version_is_the_first_number(told: str, version: str) -> None:
    assert printed_version(told) == version


def test_what_does_not_say_its_version_is_left_out() -> None:
    with pytest.raises(LeftOut, match="which version"):
        printed_version("usage: wireguard\n")


def test_without_its_compiler_a_peer_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peers, "_DIRECTORY", tmp_path)
    found = dict(install(["wireguard-go", "boringtun"]))
    assert str(found["wireguard-go"]) == "it is built with go, and there is no go here"
    assert str(found["boringtun"]) == "it is built with cargo, and there is no cargo here"


def test_the_fork_is_pinned_and_the_others_are_the_newest() -> None:
    versions = {
        name: peer.version for name, peer in peers.PEERS.items() if isinstance(peer, GoModule)
    }
    assert versions["wireguard-go"] == "latest"
    assert "-" in versions["tailscale"]
    assert all(peer.crate for peer in peers.PEERS.values() if isinstance(peer, Crate)), (
        "cargo takes the newest of a crate"
    )
