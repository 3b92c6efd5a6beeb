"""Serves and loads a web page: with nginx if it is installed, else with the standard library."""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pyfw.demo.namespace import Namespace

_PORT = 8080
_PAGE = "/run/page"
_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("web_page.py"))]

# One process and no file outside /run, so that nothing outlives the machine.
_NGINX = """
user root; daemon off; master_process off; worker_processes 1;
pid /run/nginx.pid; error_log stderr;
events { worker_connections 64; }
http {
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path /run/nginx; proxy_temp_path /run/nginx;
    fastcgi_temp_path /run/nginx; uwsgi_temp_path /run/nginx; scgi_temp_path /run/nginx;
    server { listen %(listen)s; root %(root)s; }
}
"""


@dataclass(frozen=True)
class PageLoad:
    """A loaded page."""

    resources: int
    bytes: int
    seconds: float
    sha256_equal: bool


class WebServer:
    """Serves the page on an address of a machine."""

    def __init__(self, at: Namespace, address: str) -> None:
        self.address = address
        at.run(*_SCRIPT, "make", _PAGE)
        # Debian installs it outside a user's PATH.
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx:
            self.name = "nginx"
            host = f"[{address}]" if ":" in address else address
            at.write("/run/nginx.conf", _NGINX % {"listen": f"{host}:{_PORT}", "root": _PAGE})
            at.run("mkdir", "/run/nginx")
            self._process = at.start(nginx, "-p", "/run", "-c", "/run/nginx.conf", "-e", "stderr")
        else:
            self.name = "http.server"
            self._process = at.start(*_SCRIPT, "serve", _PAGE, address, str(_PORT))
        self._wait(at)

    def load(self, by: Namespace) -> PageLoad:
        """Loads the page from a machine."""
        return PageLoad(**json.loads(by.run(*_SCRIPT, "load", self.address, str(_PORT)).stdout))

    def stop(self) -> None:
        """Stops the server."""
        self._process.stop()

    def _wait(self, at: Namespace) -> None:
        deadline = time.monotonic() + 5
        # ss(8) rather than a test connection, which the server would count.
        while f":{_PORT}" not in at.run("ss", "-Hltn").stdout:
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not come up: {self._process.output().strip()}")
            time.sleep(0.01)
