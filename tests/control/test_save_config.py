"""save: the file that is written, read again, is the running configuration."""

import base64
import os
from pathlib import Path

import pytest

from pyfw import config
from pyfw.control import save_config
from pyfw.control.uapi.client import Device, Peer

PRIVATE, PEER, OTHER, PSK = (bytes([n]) * 32 for n in (1, 3, 4, 5))
DEVICE = Device(
    "wg0",
    private_key=PRIVATE,
    listen_port=51820,
    fwmark=0xCA6C,
    peers=[
        Peer(
            PEER,
            preshared_key=PSK,
            endpoint="[2001:db8::1]:7",
            allowed_ips=["10.0.0.0/8", "fd00::/8"],
            persistent_keepalive=25,
        ),
        Peer(OTHER),
    ],
)
FILE = f"""\
# lost, as with wg-quick
[interface]
privatekey = {base64.b64encode(PRIVATE).decode()}
address = 10.0.0.1/24
DNS = 10.0.0.53, corp.example
MTU = 1400
Table = 1234
SaveConfig = true
PreUp = echo "# not a comment" %i
PostUp = a
postup = b; c
PreDown = d
PostDown = e
"""


def test_the_file_has_the_running_configuration() -> None:
    before = config.parse(FILE)
    written = save_config.file_text(
        before, DEVICE, ["10.0.0.1/24", "10.0.0.9/32", "fe80::1/64"], 1380
    )
    after = config.parse(written)
    assert after.interface.addresses == ("10.0.0.1/24", "10.0.0.9/32")
    assert (after.interface.mtu, after.interface.fwmark) == (1380, 0xCA6C)
    assert after.interface.listen_port == 51820
    assert after.interface.private_key == PRIVATE
    for field in ("dns", "table", "save_config", "pre_up", "post_up", "pre_down", "post_down"):
        assert getattr(after.interface, field) == getattr(before.interface, field), field
    first, second = after.peers
    assert (first.public_key, first.preshared_key) == (PEER, PSK)
    assert (first.endpoint, first.persistent_keepalive) == ("[2001:db8::1]:7", 25)
    assert first.allowed_ips == ("10.0.0.0/8", "fd00::/8")
    assert second == config.Peer(public_key=OTHER)


def test_a_link_local_address_is_saved_if_it_was_in_the_file() -> None:
    before = config.parse(FILE.replace("10.0.0.1/24", "10.0.0.1/24, fe80::1/64"))
    written = save_config.file_text(
        before, DEVICE, ["10.0.0.1/24", "fe80::1/64", "fe80::2/64"], 1380
    )
    assert config.parse(written).interface.addresses == ("10.0.0.1/24", "fe80::1/64")


def test_unset_keys_stay_unset() -> None:
    plain = config.parse(f"[Interface]\nPrivateKey = {base64.b64encode(PRIVATE).decode()}\n")
    written = save_config.file_text(plain, Device("wg0", private_key=PRIVATE), [], 1420)
    assert config.parse(written) == plain


def test_the_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real.conf"
    real.write_text("old")
    real.chmod(0o644)
    link = tmp_path / "wg0.conf"
    link.symlink_to(real)
    save_config._replace(link, "new\n")
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new\n", 0o600)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["real.conf", "wg0.conf"]


def test_after_a_write_error_the_old_file_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_config._replace(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["wg0.conf"]
