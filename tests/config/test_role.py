"""Roles: checks across both files of a tunnel."""

from pathlib import Path

import pytest

from pyfw import config
from pyfw.config import ConfigError
from tests.config.broken_files import KEY, PEER

EVERYTHING = f"[Peer]\nPublicKey = {PEER}\nEndpoint = 192.0.2.1:7\nAllowedIPs = 0.0.0.0/0, ::/0\n"


def load(directory: Path, interface: str, peers: str, toml: str) -> config.Config:
    path = directory / "wg0.conf"
    path.write_text(f"[Interface]\nPrivateKey = {KEY}\n{interface}{peers}")
    path.chmod(0o600)
    (directory / "wg0.pyfw.toml").write_text(toml)
    return config.load(path)


@pytest.mark.parametrize(
    ("interface", "peers", "toml", "line", "part"),
    [
        ("", EVERYTHING, 'role = "gateway"', 1, "role: a gateway needs an address; add an Address"),
        ("", "", '\nrole = "client"', 2, "role: a client needs a gateway; add a [Peer]"),
        (
            "",
            EVERYTHING.replace("Endpoint = 192.0.2.1:7\n", ""),
            'role = "client"',
            1,
            "with an Endpoint",
        ),
        (
            "",
            EVERYTHING.replace("0.0.0.0/0, ::/0", "10.0.0.0/8"),
            'role = "client"\nkill_switch = true',
            2,
            "kill_switch: blocks all traffic outside the tunnel, and no [Peer] accepts all",
        ),
        (
            "Table = off\n",
            EVERYTHING,
            'role = "client"\nkill_switch = true',
            2,
            "write Table = auto",
        ),
    ],
)
def test_contradictions_between_the_files_are_errors(
    tmp_path: Path, interface: str, peers: str, toml: str, line: int, part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, interface, peers, toml)
    (problem,) = map(str, caught.value.problems)
    assert problem.startswith(f"{tmp_path}/wg0.pyfw.toml:{line}: ")
    assert part in problem


def test_a_kill_switch_without_dns_causes_a_warning(tmp_path: Path) -> None:
    toml = 'role = "client"\nkill_switch = true\n'
    (warning,) = load(tmp_path, "", EVERYTHING, toml).warnings
    assert str(warning).startswith(f"{tmp_path}/wg0.pyfw.toml:2: kill_switch: no DNS is set")
    assert load(tmp_path, "DNS = 10.0.0.1\n", EVERYTHING, toml).warnings == ()


def test_valid_roles_are_read(tmp_path: Path) -> None:
    gateway = load(tmp_path, "Address = 10.0.0.1/24\n", "", 'role = "gateway"')
    assert gateway.settings.role == "gateway"
    client = load(tmp_path, "", EVERYTHING, 'role = "client"')
    assert client.settings.role == "client"
