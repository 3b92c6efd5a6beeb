"""`pyfw-wg [-f|--foreground] INTERFACE`: a daemon with wireguard-go's command line, for wg and wg-quick.

It forks before the extension or an event loop is loaded. The child reports "ready", or its error, through
a pipe; the parent ends with 0 only once the UAPI socket answers, for wg-quick writes to it at once.

WG_TUN_FD, WG_UAPI_FD   descriptors that are handed over
WG_PROCESS_FOREGROUND   1: as -f
LOG_LEVEL               verbose, debug, error or silent; set, the daemon keeps its standard error
"""

import os
import sys
from collections.abc import Callable, Mapping

USAGE = "usage: pyfw-wg [-f|--foreground] INTERFACE-NAME"

HELP = f"""{USAGE}

A WireGuard daemon for wg and wg-quick, with wireguard-go's command line. It makes the interface,
goes into the background once it answers, and is configured by wg(8).

  -f, --foreground   stay; also by WG_PROCESS_FOREGROUND=1
  --version          print the version and end
  -h, --help         print this and end

  LOG_LEVEL          verbose, debug, error or silent; set, logs go to standard error
  WG_TUN_FD          descriptor of a TUN that is handed over
  WG_UAPI_FD         descriptor of a listening UAPI socket that is handed over

With wg-quick: WG_QUICK_USERSPACE_IMPLEMENTATION=pyfw-wg wg-quick up wg0"""

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

# wireguard-go's levels; it says nothing but errors unless asked.
_LEVELS = {"verbose": "debug", "debug": "debug", "error": "error", "silent": "silent"}


def main() -> None:
    """The `pyfw-wg` command."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Starts the daemon and returns the exit status."""
    foreground = environment.get("WG_PROCESS_FOREGROUND") == "1"
    if arguments and arguments[0] in ("-f", "--foreground"):
        foreground = True
        arguments = arguments[1:]
    if arguments in (["-h"], ["--help"]):
        print(HELP)
        return EXIT_OK
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"pyfw-wg {version('pyfw-dataplane')}")
        return EXIT_OK
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return EXIT_USAGE
    name = arguments[0]
    if foreground:
        return _serve(name, environment, lambda: None, _print_error)
    return _detach(name, environment)


def _detach(name: str, environment: Mapping[str, str]) -> int:
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(report_write)
        return _await_report(report_read)
    os.close(report_read)
    status = EXIT_FAILED
    try:
        os.setsid()
        _leave_terminal(keep_output=environment.get("LOG_LEVEL", "silent") != "silent")

        def report(text: str) -> None:
            nonlocal report_write
            if report_write >= 0:
                os.write(report_write, text.encode())
                os.close(report_write)
                report_write = -1

        status = _serve(name, environment, lambda: report("ready"), report)
    finally:
        # Without the parent's atexit handlers and buffers.
        os._exit(status)


def _await_report(descriptor: int) -> int:
    with os.fdopen(descriptor, "rb") as pipe:
        report = pipe.read().decode(errors="replace")
    if report == "ready":
        return EXIT_OK
    _print_error(report or "the daemon ended before it was ready")
    return EXIT_FAILED


def _leave_terminal(*, keep_output: bool) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0,) if keep_output else (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _serve(
    name: str,
    environment: Mapping[str, str],
    on_ready: Callable[[], None],
    on_error: Callable[[str], None],
) -> int:
    try:
        import asyncio

        from pyfw.control import Daemon
        from pyfw.observe import log

        log.configure(_LEVELS.get(environment.get("LOG_LEVEL", ""), "error"))
        daemon = Daemon(
            name,
            tun_fd=_descriptor(environment, "WG_TUN_FD"),
            uapi_fd=_descriptor(environment, "WG_UAPI_FD"),
            on_ready=on_ready,
        )
        return asyncio.run(daemon.run())
    except OSError as error:
        on_error(f"cannot run {name}: {error.strerror or error}")
    except ValueError as error:
        on_error(f"cannot run {name}: {error}")
    except Exception as error:
        # The parent waits for a word, whatever happened.
        on_error(f"cannot run {name}: {type(error).__name__}: {error}")
    return EXIT_FAILED


def _descriptor(environment: Mapping[str, str], variable: str) -> int | None:
    text = environment.get(variable, "")
    if not text:
        return None
    if not text.isdigit():
        raise ValueError(f"{variable} is not a descriptor: {text}")
    return int(text)


def _print_error(text: str) -> None:
    print(f"pyfw-wg: {text}", file=sys.stderr)
