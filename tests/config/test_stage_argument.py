"""Stages given on the command line: USE?key=value&key=value."""

import pytest

from pyfw.config.problem import ConfigError
from pyfw.config.stage_argument import from_text
from pyfw.config.stages import StageConfig


@pytest.mark.parametrize(
    ("argument", "config"),
    [
        ("tap", StageConfig(use="tap")),
        ("a/b.py:C?", StageConfig(use="a/b.py:C")),
        (
            "impair?loss=0.1&seed=7&name=bad&direction=inbound",
            StageConfig(
                use="impair", name="bad", direction="inbound", options={"loss": 0.1, "seed": 7}
            ),
        ),
        (
            "tap?file=a b.pcapng&filter=tcp[13] %26 2 != 0",
            StageConfig(use="tap", filter="tcp[13] & 2 != 0", options={"file": "a b.pcapng"}),
        ),
        (
            'm:C?on=true&words=["a", "b"]&text="5"&day=2026-01-01&odd=1=2',
            StageConfig(
                use="m:C",
                options={
                    "on": True,
                    "words": ["a", "b"],
                    "text": "5",
                    "day": "2026-01-01",
                    "odd": "1=2",
                },
            ),
        ),
        (
            "m:C?filter={ protocol = 'udp', port = '1-2' }",
            StageConfig(use="m:C", filter={"protocol": "udp", "port": range(1, 3)}),
        ),
        # A newline does not start another key.
        ("m:C?a=1\nb = 2", StageConfig(use="m:C", options={"a": "1\nb = 2"})),
        ("m:C?options=3", StageConfig(use="m:C", options={"options": 3})),
    ],
)
def test_unknown_keys_are_options(argument: str, config: StageConfig) -> None:
    assert from_text(argument, "--stage x") == config


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("a:b:c", '--stage x: use: "a:b:c" names no stage; write "module:Class"'),
        ("", "--stage x: use: is not text"),
        ("tap?file", "--stage x: file: has no value; write key=value"),
        ("tap?direction=in", '--stage x: direction: is not valid; write "both" or'),
        ("tap?failures=0", "--stage x: failures: is not a whole number from 1"),
        ("tap?filter={ prot = 1 }", "--stage x: filter.prot: no such key in [filter]; did you"),
    ],
)
def test_errors_name_the_key(argument: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_text(argument, "--stage x")
    assert str(caught.value).startswith(problem)
