import multiprocessing
import os
from pathlib import Path

from pyfw.control.host.locked_file import LockedFile


def claim(path: Path) -> LockedFile:
    file = LockedFile.claim(path)
    assert file is not None
    return file


def test_the_next_holder_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with claim(path) as file:
        assert file.read() == b""
        file.write(b"something long")
        file.write(b"short")
        assert file.read() == b"short"
    with claim(path) as file:
        assert file.read() == b"short"
    assert path.read_bytes() == b"short\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_file_is_claimed_once_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = claim(path)
    assert LockedFile.claim(path) is None
    first.release()
    first.release()
    claim(path).release()


def test_a_file_is_free_if_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def hold() -> None:
        claim(path).write(b"left")
        os.kill(os.getpid(), 9)

    holder = multiprocessing.get_context("fork").Process(target=hold)
    holder.start()
    holder.join()
    with claim(path) as file:
        assert file.read() == b"left"


def test_an_empty_or_cleared_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    claim(path).release()
    assert not path.exists()
    with claim(path) as file:
        file.write(b"x")
        file.clear()
        assert not path.exists()
        with claim(path) as another:
            another.write(b"y")
    assert path.read_bytes() == b"y\n"


def test_an_interrupted_write_leaves_a_complete_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    # As if killed between write and truncation.
    path.write_bytes(b"new\nrest of the old\n")
    with claim(path) as file:
        assert file.read() == b"new"
