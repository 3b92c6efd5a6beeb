"""resolv_conf: the original comes back, in whatever order tunnels end. The file is one of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pyfw.control.host import resolv_conf, undo_log

ORIGINAL = "nameserver 192.0.2.1\noptions edns0\n"


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "resolv.conf"
    path.parent.mkdir()
    monkeypatch.setattr(resolv_conf, "PATH", path)
    monkeypatch.setattr(undo_log, "DIRECTORY", tmp_path / "pyfw")
    return path


def state_files(tmp_path: Path) -> list[str]:
    return [entry.name for entry in (tmp_path / "pyfw").iterdir()]


def test_servers_and_domains_replace_the_original(path: Path, tmp_path: Path) -> None:
    path.write_text(ORIGINAL)
    path.chmod(0o640)
    resolv_conf.add("wg0", ["10.0.0.53", "fd00::53"], ["a.example", "b.example"])
    assert [line for line in path.read_text().splitlines() if line[0] != "#"] == [
        "nameserver 10.0.0.53",
        "nameserver fd00::53",
        "search a.example b.example",
    ]
    assert resolv_conf.remove("wg0")
    assert (path.read_text(), path.stat().st_mode & 0o777) == (ORIGINAL, 0o640)
    assert state_files(tmp_path) == []
    assert [entry.name for entry in path.parent.iterdir()] == ["resolv.conf"]


def as_nothing(_path: Path) -> None:
    pass


def as_link(path: Path) -> None:
    (path.parent / "managed").write_text(ORIGINAL)
    path.symlink_to("managed")


def as_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def as_bytes(path: Path) -> None:
    path.write_bytes(b"\xff\n# no newline\r\n\n  nameserver 192.0.2.1")


@pytest.mark.parametrize("make", [as_nothing, as_link, as_dangling_link])
def test_a_link_or_a_missing_file_comes_back(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    link = path.readlink() if path.is_symlink() else None
    resolv_conf.add("wg0", ["10.0.0.53"], [])
    assert not path.is_symlink() and "10.0.0.53" in path.read_text()
    assert resolv_conf.remove("wg0")
    assert (path.readlink() if path.is_symlink() else None) == link
    assert path.exists() == (make is as_link)
    if make is as_link:
        assert path.read_text() == ORIGINAL


@pytest.mark.parametrize("order", [("wg0", "wg1"), ("wg1", "wg0")])
def test_tunnels_may_end_in_any_order(path: Path, tmp_path: Path, order: tuple[str, str]) -> None:
    path.write_text(ORIGINAL)
    resolv_conf.add("wg0", ["10.0.0.0"], [])
    resolv_conf.add("wg1", ["10.0.0.1"], [])
    assert "10.0.0.1" in path.read_text()
    assert resolv_conf.remove(order[0])
    assert ("10.0.0.1" if order[0] == "wg0" else "10.0.0.0") in path.read_text()
    assert resolv_conf.remove(order[1])
    assert path.read_text() == ORIGINAL
    assert state_files(tmp_path) == []


def test_a_killed_tunnel_that_restarts_keeps_the_original(path: Path) -> None:
    path.write_text(ORIGINAL)
    resolv_conf.add("wg0", ["10.0.0.1"], [])
    resolv_conf.add("wg0", ["10.0.0.2"], [])
    assert resolv_conf.remove("wg0")
    assert path.read_text() == ORIGINAL


def test_what_another_program_wrote_stays(path: Path, tmp_path: Path) -> None:
    path.write_text(ORIGINAL)
    resolv_conf.add("wg0", ["10.0.0.1"], [])
    path.write_text("nameserver 198.51.100.1\n")
    assert not resolv_conf.remove("wg0")
    assert path.read_text() == "nameserver 198.51.100.1\n"
    assert state_files(tmp_path) == []


def test_what_another_program_wrote_is_a_new_original(path: Path) -> None:
    path.write_text(ORIGINAL)
    resolv_conf.add("wg0", ["10.0.0.0"], [])
    path.write_text("nameserver 198.51.100.1\n")
    resolv_conf.add("wg1", ["10.0.0.1"], [])
    assert resolv_conf.remove("wg0")
    assert "10.0.0.1" in path.read_text()
    assert resolv_conf.remove("wg1")
    assert path.read_text() == "nameserver 198.51.100.1\n"


def test_a_kill_before_the_write_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(ORIGINAL)
    with monkeypatch.context() as patched:

        def killed(_content: str) -> None:
            raise KeyboardInterrupt

        patched.setattr(resolv_conf, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            resolv_conf.add("wg0", ["10.0.0.1"], [])
    assert resolv_conf.remove("wg0")
    assert path.read_text() == ORIGINAL


def test_a_mounted_file_is_written_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(ORIGINAL)
    inode = path.stat().st_ino
    monkeypatch.setattr(resolv_conf, "_is_mounted", lambda: True)
    resolv_conf.add("wg0", ["10.0.0.1"], [])
    assert "10.0.0.1" in path.read_text()
    resolv_conf.remove("wg0")
    assert (path.read_text(), path.stat().st_ino) == (ORIGINAL, inode)


def test_after_a_write_error_the_old_file_remains(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(ORIGINAL)

    def refused(_self: Path, _target: Path) -> Path:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refused)
        with pytest.raises(PermissionError):
            resolv_conf.add("wg0", ["10.0.0.1"], [])
    assert path.read_text() == ORIGINAL
    assert [entry.name for entry in path.parent.iterdir()] == ["resolv.conf"]
    assert resolv_conf.remove("wg0")


@pytest.mark.parametrize("make", [as_nothing, as_link, as_dangling_link, as_bytes])
def test_after_a_power_failure_the_original_is_restored(
    path: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    before = (path.read_bytes() if path.exists() else None, path.is_symlink())
    resolv_conf.add("wg0", ["10.0.0.1"], ["a.example"])
    for entry in (tmp_path / "pyfw").iterdir():
        entry.unlink()  # /run is empty after a boot
    resolv_conf.add("wg1", ["10.0.0.2"], [])
    assert resolv_conf.remove("wg1")
    assert (path.read_bytes() if path.exists() else None, path.is_symlink()) == before
    assert not resolv_conf.recover()
    resolv_conf.add("wg0", ["10.0.0.1"], [])
    assert not resolv_conf.recover()
    for entry in (tmp_path / "pyfw").iterdir():
        entry.unlink()
    assert resolv_conf.recover()
    assert (path.read_bytes() if path.exists() else None, path.is_symlink()) == before
    assert state_files(tmp_path) == []


def test_removing_an_unknown_name_is_no_error(path: Path, tmp_path: Path) -> None:
    path.write_text(ORIGINAL)
    assert resolv_conf.remove("wg9")
    assert path.read_text() == ORIGINAL
    assert state_files(tmp_path) == []
