from pathlib import Path

from click.testing import CliRunner, Result

from pyfw.cli.group import group


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["run", *arguments])


def test_every_error_of_a_file_is_told_in_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text("[Interface]\nPrivateKey = x\nMTU = 1\n")
    done = run(str(path))
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{path}:2", f"{path}:3"]
    assert all(line.startswith("pyfw: ") for line in lines)


def test_a_missing_file_is_told_in_the_systems_words(tmp_path: Path) -> None:
    done = run(str(tmp_path / "wg0.conf"))
    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr


def test_check_reads_and_warns_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text("[Interface]\nPostUp = true\nDNS = 1.1.1.1\n")
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    done = run(str(path), "--check")
    assert done.exit_code == 0
    assert done.stderr == f"pyfw: warning: {path}: world accessible; chmod 600 wg0.conf\n"


def test_no_file_is_a_usage_error() -> None:
    assert run().exit_code == 2


def test_check_tells_what_is_wrong_in_a_stage_at_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text("[Interface]\nPostUp = true\n")
    path.chmod(0o600)
    (tmp_path / "wg0.pyfw.toml").write_text('[[stages]]\nuse = "mine.py:Mine"\n')
    (tmp_path / "mine.py").write_text("\n\nraise SystemExit(0)\n")
    done = run(str(path), "--check")
    assert done.exit_code == 2
    assert done.stderr == (
        f"pyfw: {tmp_path}/mine.py:3: mine.py cannot be imported: SystemExit: 0\n"
    )
