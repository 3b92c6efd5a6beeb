"""`pyfw-wg [-f|--foreground] INTERFACE`: a daemon with wireguard-go's command line, for wg and wg-quick.

It ends with 0 only once the UAPI socket answers, for wg-quick writes to it at once: see background.

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
        return _serve(name, environment, lambda: None)
    return _detach(name, environment)


def _detach(name: str, environment: Mapping[str, str]) -> int:
    from pyfw.cli import background

    keep_output = environment.get("LOG_LEVEL", "silent") != "silent"
    status = background.run(lambda ready: _serve(name, environment, ready), keep_output=keep_output)
    if status is None:
        _print_error("the daemon ended before it was ready")
        return EXIT_FAILED
    return status


def _serve(name: str, environment: Mapping[str, str], on_ready: Callable[[], None]) -> int:
    try:
        from pyfw.control import Daemon, StartFailed, run_to_end, serve
        from pyfw.observe import log

        log.configure(_LEVELS.get(environment.get("LOG_LEVEL", ""), "error"))
        daemon = Daemon(
            name,
            tun_fd=_descriptor(environment, "WG_TUN_FD"),
            uapi_fd=_descriptor(environment, "WG_UAPI_FD"),
        )
        try:
            return run_to_end(serve([daemon], on_ready=on_ready))
        except StartFailed as failed:
            raise failed.error from failed
    except OSError as error:
        _print_error(f"cannot run {name}: {error.strerror or error}")
    except ValueError as error:
        _print_error(f"cannot run {name}: {error}")
    except Exception as error:
        _print_error(f"cannot run {name}: {type(error).__name__}: {error}")
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
