import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from pyfw.observe import log


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    log.configure("info", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def records(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_time_severity_message_then_fields(lines: io.StringIO) -> None:
    structlog.get_logger().warning("peer.gone", interface="wg0", seconds=5)
    (record,) = records(lines)
    assert list(record) == ["time", "severity", "message", "interface", "seconds"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", str(record["time"]))
    assert (record["severity"], record["message"]) == ("WARNING", "peer.gone")


def test_a_native_event_keeps_its_own_time(lines: io.StringIO) -> None:
    event = {
        "time_ns": 1_700_000_000_000_000_007,
        "severity": "INFO",
        "message": "handshake",
        "peer": "x",
    }
    log.native(structlog.get_logger(), event)
    assert records(lines) == [
        {
            "time": "2023-11-14T22:13:20.000000007Z",
            "severity": "INFO",
            "message": "handshake",
            "peer": "x",
        }
    ]


def test_a_native_event_of_unknown_severity_is_info(lines: io.StringIO) -> None:
    log.native(structlog.get_logger(), {"time_ns": 1, "severity": "odd", "message": "m"})
    assert records(lines)[0]["severity"] == "INFO"


def test_records_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    assert lines.getvalue() == ""


def test_silent_writes_nothing() -> None:
    stream = io.StringIO()
    log.configure("silent", stream)
    structlog.get_logger().critical("lost")
    structlog.reset_defaults()
    assert stream.getvalue() == ""


def test_secrets_never_appear(lines: io.StringIO) -> None:
    structlog.get_logger().error("set", private_key="cGFzcw==", preshared_key="x", raw=b"\x01" * 32)
    record = records(lines)[0]
    assert {record["private_key"], record["preshared_key"], record["raw"]} == {"(hidden)"}


def test_a_traceback_is_one_field_of_one_line(lines: io.StringIO) -> None:
    try:
        raise KeyError("x")
    except KeyError:
        structlog.get_logger().exception("failed")
    (record,) = records(lines)
    assert record["severity"] == "ERROR"
    assert "KeyError" in str(record["exception"])


def test_a_field_cannot_overwrite_the_time(lines: io.StringIO) -> None:
    structlog.get_logger().info("m", time="never", severity="none")
    (record,) = records(lines)
    assert record["severity"] == "INFO"
    assert record["time_"] == "never"


def test_records_of_logging_have_the_same_form(lines: io.StringIO) -> None:
    logging.getLogger("other").warning("of %s", "others")
    (record,) = records(lines)
    assert list(record)[:3] == ["time", "severity", "message"]
    assert (record["severity"], record["message"], record["logger"]) == (
        "WARNING",
        "of others",
        "other",
    )
