"""Only a benchmark can turn the cipher off, and only between addresses for documentation."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from bench.baseline import documentation_only
from lab import Network, Pair, Unavailable, baseline, pyfw_run, unavailable
from pyfw import _native
from pyfw.config import settings
from pyfw.demo.daemon_counters import late
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

needs_bench_build = pytest.mark.skipif(
    baseline.unavailable() is not None, reason=str(baseline.unavailable())
)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "wg0.conf"


def write(conf: Path, endpoint: str) -> str:
    private, other = _native.generate_private_key(), _native.generate_private_key()
    text = CONF.format(
        private=base64.b64encode(private).decode(),
        public=base64.b64encode(_native.public_key(other)).decode(),
        endpoint=f"Endpoint = {endpoint}" if endpoint else "",
    )
    conf.write_text(text)
    conf.chmod(0o600)
    return str(conf)


@pytest.mark.parametrize("name", NAMES)
def test_no_cipher_setting_turns_it_off(name: str) -> None:
    _, problems = settings.read(f'cipher = "{name}"', "wg0.pyfw.toml")
    assert [problem.key for problem in problems] == ["cipher"]


@pytest.mark.parametrize("key", ["without_cipher", "without-cipher", "no_cipher"])
def test_no_settings_key_turns_it_off(key: str) -> None:
    _, problems = settings.read(f"{key} = true", "wg0.pyfw.toml")
    assert [problem.key for problem in problems] == [key]


# "off" is a name in builds with the feature `bench`; for wheels see test_wheel.
@pytest.mark.parametrize("name", NAMES[1:])
def test_other_cipher_names_open_no_engine(name: str) -> None:
    first, second = os.pipe()
    with pytest.raises(ValueError, match="unknown cipher"):
        _native.Engine(tun_fd=first, udp_fds=(second, -1), listen_port=0, cipher=name)


@needs_bench_build
def test_engine_without_a_cipher_warns_first() -> None:
    first, second = os.pipe()
    with pytest.raises(RuntimeWarning):
        # Warnings are errors in tests, so no engine opens.
        _native.Engine(tun_fd=first, udp_fds=(second, -1), listen_port=0, cipher="off")


@pytest.mark.parametrize(
    "endpoint", ["192.0.2.1:51820", "198.51.100.7:1", "[2001:db8::1]:51820", "203.0.113.255:9"]
)
def test_documentation_endpoint_is_accepted(conf: Path, endpoint: str) -> None:
    assert documentation_only.load(write(conf, endpoint)).peers[0].endpoint == endpoint


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
def test_any_other_endpoint_is_rejected(conf: Path, endpoint: str) -> None:
    with pytest.raises(ValueError, match="addresses for documentation"):
        documentation_only.load(write(conf, endpoint))


@needs_bench_build
@pytest.mark.parametrize("part", ["without-cipher", "bare"])
def test_program_rejects_other_endpoints(conf: Path, part: str) -> None:
    command = [*baseline.COMMAND, part, write(conf, "10.0.0.1:51820")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert "addresses for documentation" in done.stderr


def test_build_without_the_feature_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_native, "passthrough", raising=False)
    with pytest.raises(Unavailable, match="make bench"):
        baseline.bare()
    with pytest.raises(Unavailable, match="make setup"):
        baseline.without_cipher()


@pytest.mark.netns
@pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}")
@needs_bench_build
class TestInNamespaces:
    """Daemons without a cipher."""

    def test_pair_without_a_cipher_works_and_warns(self) -> None:
        with Network() as network:
            pair = Pair(network, baseline.without_cipher(), baseline.without_cipher())
            pair.first_ping_ms()
            assert pair.client.details()["facts"]["cipher"] == "off"
            assert late(pair.gateway.counters()) == 0
            output = pair.client.process.output()
            assert "THE CIPHER IS OFF" in output
            assert "RuntimeWarning" in output

    def test_daemon_with_a_cipher_rejects_one_without(self) -> None:
        with Network() as network:
            pair = Pair(network, baseline.without_cipher(), pyfw_run())
            with pytest.raises(RuntimeError, match="no answer"):
                ping_ms(network.client, "10.77.0.2", "-W", "1")
            counters = pair.gateway.counters()
            assert counters["inbound"]["left"] == 0
            assert counters["datagrams"]["drops"].get("forged", 0) > 0
