"""Logs JSON lines: `time` (RFC 3339, nine digits, Z), `severity`, `message`, then the fields.

    jq -r '"\\(.time) \\(.severity) \\(.message)"'

Native events keep their own time. Secrets never appear: they are masked by name and by type before a line is
rendered.
"""

import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "silent": logging.CRITICAL + 10,
}

_SEVERITIES = {"warn": "WARNING", "exception": "ERROR", "critical": "CRITICAL", "fatal": "CRITICAL"}
_SECRET_FIELDS = {"private_key", "preshared_key"}
_ENCODER = msgspec.json.Encoder(enc_hook=str)

_Event = MutableMapping[str, Any]


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sends the records of structlog and logging to `stream` (standard error by default)."""
    chain: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        mask,
        stamp,
        render,
    ]
    if level == "silent":
        chain.insert(0, _drop)
    output = stream or sys.stderr
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(min(LEVELS[level], logging.CRITICAL)),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[
                _severity_of_record,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *chain,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # At info, libraries log what matters to their authors alone.
    root.setLevel(max(LEVELS[level], logging.WARNING))


def native(log: Any, event: Mapping[str, Any]) -> None:
    """Logs an event of the engine with its own time."""
    fields = dict(event)
    severity = str(fields.pop("severity", "info")).lower()
    message = fields.pop("message", "event")
    write = getattr(log, severity if severity in LEVELS else "info")
    write(message, **fields)


def mask(_log: Any, _method: str, event: _Event) -> _Event:
    """Masks keys and other bytes."""
    for field, value in event.items():
        if field in _SECRET_FIELDS or isinstance(value, (bytes, bytearray, memoryview)):
            event[field] = "(hidden)"
    return event


def stamp(_log: Any, method: str, event: _Event) -> _Event:
    """Puts time, severity and message first."""
    # Not datetime, which has microseconds only.
    seconds, fraction = divmod(event.pop("time_ns", None) or time.time_ns(), 1_000_000_000)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    severity = event.pop("_severity", None) or _SEVERITIES.get(method, method.upper())
    message = event.pop("event", "")
    # Fields of these names are renamed, not overwritten.
    fields = {f"{k}_" if k in ("time", "severity", "message") else k: v for k, v in event.items()}
    return {"time": f"{at}.{fraction:09d}Z", "severity": severity, "message": message, **fields}


def render(_log: Any, _method: str, event: _Event) -> str:
    """Renders a line of JSON."""
    return _ENCODER.encode(event).decode()


def _drop(_log: Any, _method: str, _event: _Event) -> _Event:
    raise structlog.DropEvent


def _severity_of_record(_log: Any, _method: str, event: _Event) -> _Event:
    record = event.get("_record")
    if record is not None:
        event["_severity"] = record.levelname
        event["logger"] = record.name
    return event
