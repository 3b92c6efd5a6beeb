from pathlib import Path

from click.testing import CliRunner, Result

from pyfw.cli.group import group


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["run", *arguments])


def test_check_prints_warnings_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text("[Interface]\nPostUp = true\nDNS = 1.1.1.1\n")
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    done = run(str(path), "--check")
    assert done.exit_code == 0
    assert done.stderr == f"pyfw: warning: {path}: world accessible; chmod 600 wg0.conf\n"


def test_check_reports_errors_in_stages(tmp_path: Path) -> None:
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
