"""Chromium loads a page with styles, scripts and pictures, twice, from nginx behind the gateway."""

import hashlib
import json
import random
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recording import record, serve

from lab import BEHIND, Network

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --virtual-time-budget=4000"
).split()


def files() -> dict[str, bytes]:
    """Returns the page and its 24 resources of 300 B to 60 kB."""
    noise = random.Random(0)
    lengths = [300 + i * i * 100 for i in range(24)]
    resources = {
        f"{i}.js" if i % 3 else f"{i}.svg": noise.randbytes(n) for i, n in enumerate(lengths)
    }
    for name, content in resources.items():
        text = hashlib.sha256(content).hexdigest() + content.hex()[: len(content)]
        script = f"document.title += {json.dumps(text[:4])};//{text}"
        picture = f'<svg xmlns="http://www.w3.org/2000/svg"><!--{text}--></svg>'
        resources[name] = (script if name.endswith("js") else picture).encode()
    tags = [
        f'<script src="{name}"></script>' if name.endswith("js") else f'<img src="{name}" alt="">'
        for name in resources
    ]
    page = "<!doctype html><title>pyfw</title>" + "\n".join(tags)
    return {"index.html": page.encode(), **resources}


def load(network: Network) -> None:
    """Loads the page."""
    serve(network.server, BEHIND["server"].v4, files())
    page = f"http://{BEHIND['server'].v4}:8080/"
    chromium = ["chromium", *_FLAGS, "--user-data-dir=/run/profile", "--dump-dom", page]
    done = network.client.run("env", "HOME=/run", *chromium)
    if "<svg" not in done.stdout and "script" not in done.stdout:
        sys.exit(f"chromium: {done.stderr}")


record(load, only="host 198.51.100.2")
