import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw import config
from pyfw.config import ConfigError, Secret

PRIVATE = base64.b64encode(bytes(range(32))).decode()
PEER = base64.b64encode(bytes(range(32, 64))).decode()
OTHER = base64.b64encode(bytes(range(64, 96))).decode()
PSK = base64.b64encode(bytes(range(96, 128))).decode()

COMPLETE = f"""\
# a comment
[Interface]
PrivateKey = {PRIVATE}
listenport=51820   # any case, any blanks
FwMark = 0xca6c
Address = 10.9.0.1/24, fd09::1/64
Address = 10.9.1.1
DNS = 1.1.1.1, corp.example
MTU = 1380
Table = main
PreUp = echo 1 # 2
PostUp = iptables -A FORWARD -i %i -j ACCEPT
PostUp = sysctl net.ipv4.ip_forward=1
PreDown = true
PostDown = false
SaveConfig = true

[peer]
PublicKey = {PEER}
PresharedKey = {PSK}
AllowedIPs = 10.9.0.2/32, fd09::2/128
allowedips = 192.168.7.9/24
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = 25

[Peer]
PublicKey={OTHER}
Endpoint = vpn.example:7
PersistentKeepalive = off
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    return [str(problem) for problem in caught.value.problems]


def with_line(line: str, section: str = "Interface") -> str:
    interface = f"[Interface]\nPrivateKey = {PRIVATE}\n"
    if section == "Interface":
        return interface + line
    return f"{interface}[Peer]\nPublicKey = {PEER}\n{line}"


def test_all_keys_of_wg_and_wg_quick_are_read() -> None:
    read = config.parse(COMPLETE)
    interface = read.interface
    assert interface.private_key == bytes(range(32))
    assert (interface.listen_port, interface.fwmark, interface.mtu) == (51820, 0xCA6C, 1380)
    assert interface.addresses == ("10.9.0.1/24", "fd09::1/64", "10.9.1.1/32")
    assert interface.dns == ("1.1.1.1", "corp.example")
    assert interface.table == 254
    assert interface.pre_up == ("echo 1 # 2",)
    assert interface.post_up == (
        "iptables -A FORWARD -i %i -j ACCEPT",
        "sysctl net.ipv4.ip_forward=1",
    )
    assert (interface.pre_down, interface.post_down) == (("true",), ("false",))
    assert interface.save_config
    first, second = read.peers
    assert first.public_key == bytes(range(32, 64))
    assert first.preshared_key == bytes(range(96, 128))
    assert first.allowed_ips == ("10.9.0.2/32", "fd09::2/128", "192.168.7.0/24")
    assert (first.endpoint, first.persistent_keepalive) == ("[2001:db8::1]:51820", 25)
    assert second.allowed_ips == ()
    assert (second.endpoint, second.persistent_keepalive) == ("vpn.example:7", 0)


def test_all_errors_are_reported_in_the_order_of_lines() -> None:
    text = "[Interface]\nPrivateKey = short\nListenPort = 70000\n[Peer]\nAllowedIP = 10.0.0.0/8\n"
    assert problems_of(text) == [
        "wg0.conf:2: PrivateKey: not a key; write 32 bytes in base64, 44 characters, "
        "as pyfw genkey prints",
        'wg0.conf:3: ListenPort: "70000" is not a port; write 0 to 65535',
        "wg0.conf:4: PublicKey: missing in this [Peer]; write the public key of the other end",
        "wg0.conf:5: AllowedIP: no such key in [Peer]; did you mean AllowedIPs?",
    ]


@pytest.mark.parametrize(
    ("section", "line", "part"),
    [
        ("Interface", "PrivateKey = x", "given again; the first is at line 2"),
        ("Interface", "FwMark = 0x1ffffffff", "0xffffffff"),
        ("Interface", "FwMark = -1", "write off"),
        ("Interface", "Address = 10.0.0.1/33", "write address/length"),
        ("Interface", "Address = 10.0.0.1/255.255.255.0", "write address/length"),
        ("Interface", "DNS = 300.1.1.1", "write its IP address, or a search domain"),
        ("Interface", "MTU = 12", "write 68 to 65475"),
        ("Interface", "MTU = 99999", "write 68 to 65475"),
        ("Interface", "Table = 0", "routing table"),
        ("Interface", "PostUp =", "empty"),
        ("Interface", "SaveConfig = yes", "write true or false"),
        ("Interface", "AllowedIPs = 10.0.0.0/8", "belongs in [Peer], not in [Interface]"),
        ("Interface", "Adress = 10.0.0.1/8", "did you mean Address?"),
        ("Interface", "zzz = 1", "known are Address, DNS"),
        ("Interface", "just words", "neither [Section], key = value nor # comment"),
        ("Interface", "[Stuff]", "no such section; write [Interface] or [Peer]"),
        ("Interface", "[Interface]", "given again; the first is at line 1"),
        ("Interface", "[Peer", "a section ends with ]"),
        ("Peer", f"[Peer]\nPublicKey = {PEER}", "the same as that of the peer at line 3"),
        ("Peer", "PresharedKey = AAAA", "not a key"),
        ("Peer", "AllowedIPs = 10.0.0", "is not an IP network"),
        ("Peer", "AllowedIPs = 10.0.0.0/8, ::/129", '"::/129"'),
        ("Peer", "Endpoint = 192.0.2.1", "write address:port"),
        ("Peer", "Endpoint = 192.0.2.1:0", "write 1 to 65535"),
        ("Peer", "Endpoint = 192.0.2.256:1", "write address:port"),
        ("Peer", "Endpoint = [::1:7", "write address:port"),
        ("Peer", "Endpoint = bad host!:7", "write address:port"),
        ("Peer", "PersistentKeepalive = 65536", "write 0 to 65535"),
        ("Peer", "ListenPort = 1", "belongs in [Interface], not in [Peer]"),
    ],
)
def test_errors_say_what_would_be_right(section: str, line: str, part: str) -> None:
    (problem,) = problems_of(with_line(line, section))
    assert part in problem


def test_errors_in_a_misspelt_section_are_reported() -> None:
    assert problems_of("[Interfaces]\nMTU = 9\n[Pear]\nEndpoint = x\n") == [
        "wg0.conf:1: [Interfaces]: no such section; did you mean [Interface]?",
        "wg0.conf:1: PrivateKey: missing; write what pyfw genkey prints",
        'wg0.conf:2: MTU: "9" is not an MTU; write 68 to 65475',
        "wg0.conf:3: [Pear]: no such section; did you mean [Peer]?",
        "wg0.conf:3: PublicKey: missing in this [Peer]; write the public key of the other end",
        'wg0.conf:4: Endpoint: "x" is not an endpoint; write address:port, [IPv6]:port or name:port',
    ]


def test_a_message_is_one_printable_line() -> None:
    (problem,) = problems_of(with_line("MTU = \x1b[2J\u2028\r\v9"))
    assert problem == 'wg0.conf:3: MTU: "\\x1b[2J\\u2028\\r\\x0b9" is not an MTU; write 68 to 65475'


def test_a_key_of_the_toml_file_is_named_as_such() -> None:
    (problem,) = problems_of(with_line("role = gateway"))
    assert problem.endswith("role: is not a WireGuard key; write it in NAME.pyfw.toml")


def test_a_file_needs_an_interface_section() -> None:
    assert problems_of("") == [
        "wg0.conf:1: [Interface]: missing; begin with [Interface] and a PrivateKey"
    ]
    assert "comes before the first section" in problems_of("MTU = 1400\n")[0]


def test_a_hook_may_set_the_private_key() -> None:
    assert problems_of("[Interface]\nMTU = 1400\n") == [
        "wg0.conf:1: PrivateKey: missing; write what pyfw genkey prints"
    ]
    read = config.parse("[Interface]\nPostUp = wg set %i private-key /etc/wireguard/key\n")
    assert read.interface.private_key is None


def test_a_prefix_of_two_peers_goes_to_the_later_one() -> None:
    read = config.parse(
        with_line(
            f"AllowedIPs = 10.0.0.0/8, 10.1.0.0/16\n[Peer]\nPublicKey={OTHER}\nAllowedIPs=10.0.0.0/8",
            "Peer",
        )
    )
    assert [peer.allowed_ips for peer in read.peers] == [("10.1.0.0/16",), ("10.0.0.0/8",)]
    assert [str(w) for w in read.warnings] == [
        "wg0.conf:3: AllowedIPs: 10.0.0.0/8 goes to the later peer at line 6"
    ]


def test_secrets_are_never_shown() -> None:
    read = config.parse(COMPLETE)
    assert str(Secret(b"x" * 32)) == repr(Secret(b"x" * 32)) == "(hidden)"
    shown = repr(read) + str(read)
    assert PRIVATE not in shown
    assert repr(bytes(range(32))) not in shown
    assert repr(bytes(range(96, 128))) not in shown
    broken = problems_of(f"[Interface]\nPrivateKey = {PRIVATE[:-2]}\n")
    assert PRIVATE[:20] not in "".join(broken)


def test_a_file_is_named_after_its_interface(tmp_path: Path) -> None:
    path = tmp_path / "office.conf"
    path.write_text(COMPLETE)
    path.chmod(0o600)
    read = config.load(path)
    assert (read.name, len(read.peers), read.warnings) == ("office", 2, ())


def test_a_world_readable_file_causes_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text(COMPLETE)
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    (warning,) = config.load(path).warnings
    assert str(warning) == f"{path}: world accessible; chmod 600 wg0.conf"


@pytest.mark.parametrize("name", ["a name.conf", "sixteenletters16.conf", "wg0.cfg", "...conf"])
def test_a_name_that_is_no_interface_name_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(COMPLETE)
    with pytest.raises(ConfigError, match="named after its interface"):
        config.load(path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"[Interface]\n\xff\n", r":2: not UTF-8: byte 0xff"),
        (b"[Interface]\n\n\0", r":3: contains a NUL byte"),
        (b"\xef\xbb\xbf[Interface]\n", r":1: begins with a byte order mark; save it without"),
        (b"#" * ((16 << 20) + 1), "longer than 16 MiB"),
    ],
)
def test_a_file_that_is_not_text_is_an_error(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "wg0.conf"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=part):
        config.load(path)


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "wg0.conf")
    with pytest.raises(ConfigError, match="not a regular file"):
        config.load(tmp_path / "wg0.conf")


def test_a_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        config.load(tmp_path / "wg0.conf")


def test_errors_of_both_files_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "wg0.conf").write_text("[Interface]\nMTU = x\n")
    (tmp_path / "wg0.pyfw.toml").write_text("threads = 9\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "wg0.conf")
    assert {Path(p.file).name for p in caught.value.problems} == {"wg0.conf", "wg0.pyfw.toml"}


EDITS = st.tuples(
    st.integers(0, len(COMPLETE)),
    st.integers(0, 40),
    st.text(max_size=20) | st.sampled_from("[]=#\n/,:"),
)


@given(st.lists(EDITS, max_size=6))
def test_random_edits_give_a_config_or_a_config_error(
    edits: list[tuple[int, int, str]],
) -> None:
    text = COMPLETE
    for at, length, new in edits:
        text = text[:at] + new + text[at + length :]
    try:
        read = config.parse(text)
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).startswith("wg0.conf") for problem in error.problems)
    else:
        assert len({peer.public_key for peer in read.peers}) == len(read.peers)
