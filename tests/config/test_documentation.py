"""docs/run.md: its files are valid, and its messages are those of the command."""

import re
import textwrap
from pathlib import Path

from click.testing import CliRunner

from pyfw import config
from pyfw.cli.group import group
from tests.config.broken_files import KEY, OTHER, PEER

_TEXT = (Path(__file__).parents[2] / "docs" / "run.md").read_text()


def blocks(section: str) -> list[str]:
    """Returns the indented blocks of a section, with keys in place of <…>."""
    body = _TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", body, re.MULTILINE)
    keys = iter([KEY, PEER, OTHER, KEY, OTHER])
    return [re.sub(r"<.*?>", lambda _: next(keys), textwrap.dedent(block)) for block in found]


def test_the_files_for_roles_are_valid(tmp_path: Path) -> None:
    gateway, gateway_toml, client, client_toml = blocks("Roles")
    read = []
    for name, conf, toml in (("wg0", gateway, gateway_toml), ("wg1", client, client_toml)):
        path = tmp_path / f"{name}.conf"
        path.write_text(conf)
        path.chmod(0o600)
        (tmp_path / f"{name}.pyfw.toml").write_text(toml)
        read.append(config.load(path))
    assert [one.settings.role for one in read] == ["gateway", "client"]
    assert [len(one.peers) for one in read] == [2, 1]
    assert all(not one.warnings for one in read)


def test_the_messages_are_those_of_run_check(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks("The file") if "--check" in block)
    conf = (
        f"[Interface]\nPrivateKey = {KEY}\nListenPort = 70000\n\n[Peer]\nPublicKey = {PEER}\n"
        "Endpoint = gateway.example:51820\nAllowedIP = 0.0.0.0/0\n"
    )
    (tmp_path / "wg0.conf").write_text(conf)
    (tmp_path / "wg0.pyfw.toml").write_text('threads = 1\nrole = "server"\n')
    done = CliRunner().invoke(group, ["run", "--check", str(tmp_path / "wg0.conf")])
    assert done.stderr.replace(f"{tmp_path}/", "") == shown.partition("\n")[2]
