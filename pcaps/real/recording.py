"""Records real traffic: programs communicate through a tunnel in namespaces, and tcpdump captures at the TUN.

    python pcaps/real/NAME/record.py [FOLDER]

No two recordings are equal, since clocks, ports and schedulers differ. The committed captures were made by
these scripts; to make them again, tcpdump, the recorded programs and namespaces are needed.
"""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lab import Network, Pair, pyfw_run
from pyfw.demo.daemon import INTERFACE
from pyfw.demo.namespace import Namespace

BYTES_MAX = 1 << 20
# Without offloads each captured packet is one segment.
_SETTINGS = "[offloads]\nudp_gso = false\nudp_gro = false\ntso = false\nuso = false\n"
_NGINX = """
user root; daemon off; master_process off; pid /run/nginx.pid; error_log stderr;
events { worker_connections 64; }
http {
    access_log off; sendfile on; default_type application/octet-stream;
    types { text/html html; text/javascript js; image/svg+xml svg; }
    client_body_temp_path /run/nginx; proxy_temp_path /run/nginx;
    fastcgi_temp_path /run/nginx; uwsgi_temp_path /run/nginx; scgi_temp_path /run/nginx;
    server { listen %s:8080; root /run/www; }
}
"""


def record(work: Callable[[Network], None], *, only: str = "ip or ip6") -> None:
    """Records the client's tunnel during `work`, into the script's folder or the one that is given."""
    script = Path(sys.argv[0]).resolve()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else script.parent
    with Network() as network:
        daemon = pyfw_run(_SETTINGS)
        pair = Pair(network, daemon, daemon)
        pair.first_ping_ms()
        # With checksum offload the captured checksums would be partial.
        network.client.run("ethtool", "-K", INTERFACE, "tx", "off")
        # A buffer, in KiB, that is larger than any recording, so that no packet is dropped.
        options = ["--interface", INTERFACE, "--immediate-mode", "--nano", "-B", "65536"]
        capture = network.client.start(
            "tcpdump", *options, "-Z", "root", "-w", "/run/capture.pcap", "-U", only
        )
        capture.wait_for("listening on")
        work(network)
        time.sleep(0.5)  # for packets that tcpdump has not written yet
        capture.stop()
        # The machine's own /run, read from outside.
        content = network.client.path("/run/capture.pcap").read_bytes()
    output = capture.output()
    if "\n0 packets dropped by kernel" not in output:
        sys.exit(f"tcpdump dropped packets: {output}")
    if len(content) > BYTES_MAX:
        sys.exit(f"{len(content)} bytes exceed {BYTES_MAX}: let the programs do less")
    (folder / "capture.pcap").write_bytes(content)
    print(f"{folder / 'capture.pcap'}: {len(content)} bytes; {output.strip()}")


def serve(at: Namespace, address: str, files: Mapping[str, bytes]) -> None:
    """Serves files on port 8080 of an address, until the network is closed."""
    at.run("mkdir", "-p", "/run/www", "/run/nginx")
    for name, content in files.items():
        at.path(f"/run/www/{name}").write_bytes(content)
    host = f"[{address}]" if ":" in address else address
    at.write("/run/nginx.conf", _NGINX % host)
    at.start("nginx", "-p", "/run", "-c", "/run/nginx.conf", "-e", "stderr")
    deadline = time.monotonic() + 5
    while ":8080" not in at.run("ss", "-Hltn", "src", host).stdout:
        if time.monotonic() > deadline:
            sys.exit("nginx did not come up")
        time.sleep(0.02)
