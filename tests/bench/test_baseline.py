"""The cipher is off where a benchmark asks for it, and nowhere else."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.baseline import lab_only
from lab import Network, Pair, pyfw_run, unavailable, without_cipher
from pyfw import _native
from pyfw.config import settings
from pyfw.demo.counter_checks import late
from pyfw.demo.pair import ping_ms

CONF = """\
[Interface]
PrivateKey = {private}
[Peer]
PublicKey = {public}
AllowedIPs = 10.0.0.0/8
{endpoint}
"""

NAMES = ["off", "none", "null", "plain", "without-cipher", ""]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "wg0.conf"


def write(conf: Path, endpoint: str) -> str:
    private, other = _native.generate_private_key(), _native.generate_private_key()
    text = CONF.format(
        private=in_base64(private),
        public=in_base64(_native.public_key(other)),
        endpoint=f"Endpoint = {endpoint}" if endpoint else "",
    )
    conf.write_text(text)
    conf.chmod(0o600)
    return str(conf)


def in_base64(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_a_file_turns_it_off(name: str) -> None:
    _, problems = settings.read(f'cipher = "{name}"', "wg0.pyfw.toml")
    assert [problem.key for problem in problems] == ["cipher"]


@pytest.mark.parametrize("key", ["without_cipher", "without-cipher", "no_cipher"])
def test_no_key_of_a_file_turns_it_off(key: str) -> None:
    _, problems = settings.read(f"{key} = true", "wg0.pyfw.toml")
    assert [problem.key for problem in problems] == [key]


# In builds without the feature `bench`, which wheels are, "off" is unknown as well: see test_wheel.
@pytest.mark.parametrize("name", NAMES[1:])
def test_other_names_open_no_engine(name: str) -> None:
    first, second = os.pipe()
    with pytest.raises(ValueError, match="unknown cipher"):
        _native.Engine(tun_fd=first, udp_fds=(second, -1), listen_port=0, cipher=name)


def test_an_engine_without_a_cipher_warns_first() -> None:
    first, second = os.pipe()
    with pytest.raises(RuntimeWarning, match="nothing that this engine carries is secret"):
        # Warnings are errors here, so no engine comes of it.
        _native.Engine(tun_fd=first, udp_fds=(second, -1), listen_port=0, cipher="off")


@pytest.mark.parametrize(
    "endpoint", ["192.0.2.1:51820", "198.51.100.7:1", "[2001:db8::1]:51820", "203.0.113.255:9"]
)
def test_addresses_for_documentation_are_the_lab(conf: Path, endpoint: str) -> None:
    assert lab_only.load(write(conf, endpoint)).peers[0].endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "10.0.0.1:51820",
        "192.0.3.1:51820",
        "8.8.8.8:51820",
        "[2001:db9::1]:51820",
        "vpn.example:51820",
        "192.0.2.1.example:51820",
    ],
)
def test_any_other_endpoint_is_refused(conf: Path, endpoint: str) -> None:
    with pytest.raises(ValueError, match="addresses for documentation alone"):
        lab_only.load(write(conf, endpoint))


def test_the_program_refuses_before_it_opens_anything(conf: Path) -> None:
    for what in ("without-cipher", "bare"):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bench.baseline", what, write(conf, "10.0.0.1:51820")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "addresses for documentation alone" in done.stderr


@pytest.mark.netns
@pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}")
class TestInNamespaces:
    """What it does on a wire."""

    def test_two_of_them_understand_each_other_and_say_what_they_are(self) -> None:
        with Network() as network:
            pair = Pair(network, without_cipher(), without_cipher())
            pair.first_ping_ms()
            assert pair.client.facts()["cipher"] == "off"
            assert late(pair.gateway.counters()) == 0
            said = pair.client.process.output()
            assert "THE CIPHER IS OFF" in said
            assert "RuntimeWarning" in said

    def test_a_daemon_with_a_cipher_takes_nothing_from_it(self) -> None:
        with Network() as network:
            pair = Pair(network, without_cipher(), pyfw_run())
            with pytest.raises(RuntimeError, match="no answer"):
                ping_ms(network.client, "10.77.0.2", "-W", "1")
            counters = pair.gateway.counters()
            assert counters["inbound"]["left"] == 0
            assert counters["datagrams"]["drops"].get("forged", 0) > 0
