"""`pyfw-wg [-f|--foreground] INTERFACE`: runs a daemon with wireguard-go's command line, for wg and wg-quick.

Exits with 0 only once the UAPI socket answers, as wg-quick writes to it at once.
"""

import os
import sys
from collections.abc import Callable, Mapping

from pyfw.control import exit_status

USAGE = "usage: pyfw-wg [-f|--foreground] INTERFACE-NAME"

HELP = f"""{USAGE}

A WireGuard daemon for wg and wg-quick, with wireguard-go's command line. Creates the interface, and
moves to the background once its socket answers. Configure it with wg(8).

  -f, --foreground   stay in the foreground; same as WG_PROCESS_FOREGROUND=1
  --version          print the version, and exit
  -h, --help         print this help, and exit

  LOG_LEVEL          verbose, debug, error or silent; if set, logs go to standard error
  WG_TUN_FD          descriptor of an open TUN
  WG_UAPI_FD         descriptor of a listening UAPI socket

With wg-quick: WG_QUICK_USERSPACE_IMPLEMENTATION=pyfw-wg wg-quick up wg0"""

# wireguard-go's levels; the default is error.
_LEVELS = {"verbose": "debug", "debug": "debug", "error": "error", "silent": "silent"}


def main() -> None:
    """Runs the `pyfw-wg` command."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Starts the daemon, and returns the exit status."""
    foreground = environment.get("WG_PROCESS_FOREGROUND") == "1"
    if arguments and arguments[0] in ("-f", "--foreground"):
        foreground = True
        arguments = arguments[1:]
    if arguments in (["-h"], ["--help"]):
        print(HELP)
        return exit_status.OK
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"pyfw-wg {version('pyfw-dataplane')}")
        return exit_status.OK
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return exit_status.USAGE
    name = arguments[0]
    if foreground:
        return _serve(name, environment, lambda: None)
    return _serve_in_background(name, environment)


def _serve_in_background(name: str, environment: Mapping[str, str]) -> int:
    from pyfw.cli import background

    keep_output = environment.get("LOG_LEVEL", "silent") != "silent"
    status = background.run(lambda ready: _serve(name, environment, ready), keep_output=keep_output)
    if status is None:
        _print_error("the daemon exited before it reported ready")
        return exit_status.FAILED
    return status


def _serve(name: str, environment: Mapping[str, str], on_ready: Callable[[], None]) -> int:
    try:
        from pyfw.control import Daemon, StartFailed, run_service, serve
        from pyfw.observe import log

        log.configure(_LEVELS.get(environment.get("LOG_LEVEL", ""), "error"))
        daemon = Daemon(
            name,
            tun_fd=_descriptor(environment, "WG_TUN_FD"),
            uapi_fd=_descriptor(environment, "WG_UAPI_FD"),
        )
        try:
            return run_service(serve([daemon], on_ready=on_ready))
        except StartFailed as failed:
            raise failed.error from failed
    except OSError as error:
        _print_error(f"cannot run {name}: {error.strerror or error}")
    except ValueError as error:
        _print_error(f"cannot run {name}: {error}")
    except Exception as error:
        _print_error(f"cannot run {name}: {type(error).__name__}: {error}")
    return exit_status.FAILED


def _descriptor(environment: Mapping[str, str], variable: str) -> int | None:
    text = environment.get(variable, "")
    if not text:
        return None
    if not text.isdigit():
        raise ValueError(f"{variable}={text}: expected the number of a descriptor")
    return int(text)


def _print_error(message: str) -> None:
    print(f"pyfw-wg: {message}", file=sys.stderr)
