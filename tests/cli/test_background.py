"""background: the terminal, the report of the child, signals, and the parent's exit status."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

_SCRIPT = """
    import os, sys, time
    from pyfw.cli import background

    {before}

    def serve(ready):
    {body}

    status = background.run(serve, keep_output={keep})
    print("parent", status, os.getpid(), flush=True)
"""


def start(body: str, *, before: str = "", keep: bool = False) -> subprocess.Popen[str]:
    script = textwrap.dedent(_SCRIPT).format(
        before=textwrap.dedent(before).strip(),
        body=textwrap.indent(textwrap.dedent(body).strip(), " " * 4),
        keep=keep,
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(body: str, *, before: str = "", keep: bool = False) -> tuple[list[str], str]:
    """Returns the lines on standard output of both processes, and standard error.

    before: code to run before the fork.
    """
    with start(body, before=before, keep=keep) as started:
        out, err = started.communicate(timeout=30)
    return out.splitlines(), err


def test_the_parent_exits_when_the_child_is_ready(tmp_path: Path) -> None:
    done = tmp_path / "done"
    (parent, *rest), err = run(f"""
        print("on the terminal", file=sys.stderr)
        ready()
        print("not on the terminal")
        print("not on the terminal", file=sys.stderr)
        open({str(done)!r}, "w").write(f"{{os.getcwd()}} {{os.getsid(0) == os.getpid()}}")
        return 0
    """)
    assert parent.startswith("parent 0 ")
    assert (rest, err) == ([], "on the terminal\n")
    deadline = time.monotonic() + 10
    while not done.exists() or not done.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert done.read_text() == "/ True"


def test_a_child_may_keep_its_output(tmp_path: Path) -> None:
    out, err = run(
        # In one piece: the parent writes at the same time.
        "ready(); os.write(1, b'seen\\n'); sys.stderr.write('too'); return 0",
        keep=True,
    )
    assert "seen" in out
    assert err == "too"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("return 3", "3"),
        ("sys.exit(2)", "2"),
        # Stopped before it was ready: it exited with 0, but nothing is up.
        ("return 0", "1"),
        ("os._exit(3)", "None"),
        ("os.kill(os.getpid(), 9)", "None"),
    ],
)
def test_the_parent_has_the_status_of_a_failed_child(body: str, status: str) -> None:
    out, err = run(body)
    assert [line.split()[1] for line in out] == [status]
    assert err == ""


def test_an_exception_of_the_child_prints_a_traceback() -> None:
    out, err = run("raise RuntimeError('unforeseen')")
    assert out[0].split()[1] == "1"
    assert "RuntimeError: unforeseen" in err


def test_nothing_is_reported_after_ready() -> None:
    # The number of the pipe's descriptor may be in use again.
    out, _ = run("""
        ready()
        reused = [os.pipe() for _ in range(8)]
        ready_again = reused  # kept open
        return 5
    """)
    assert out[0].split()[1] == "0"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_reaches_the_child(number: signal.Signals) -> None:
    with start("""
        import signal
        received = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: received.append(number))
        print("waiting", flush=True)
        while not received:
            time.sleep(0.01)
        print("undone", int(received[0]), flush=True)
        return 0
    """) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "waiting\n"
        os.kill(started.pid, number)
        out, _ = started.communicate(timeout=30)
    assert out.splitlines()[0] == f"undone {int(number)}"
    assert out.splitlines()[1].startswith("parent 1 ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_fork_reaches_the_child(number: signal.Signals) -> None:
    # The parent gets the signal within fork(), once the child waits for it.
    out, err = run(
        f"""
        import signal
        received = []
        signal.signal({int(number)}, lambda number, _frame: received.append(number))
        os.write(waits, b"w")
        while not received:
            time.sleep(0.01)
        print("undone", int(received[0]), flush=True)
        return 0
        """,
        before=f"""
        waited, waits = os.pipe()
        fork = os.fork

        def fork_and_signal():
            child = fork()
            if child:
                os.read(waited, 1)
                os.kill(os.getpid(), {int(number)})
            return child

        os.fork = fork_and_signal
        """,
    )
    assert out[0] == f"undone {int(number)}", err
    assert out[1].startswith("parent 1 ")
