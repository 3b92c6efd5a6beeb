"""Stages are loaded by their `use`; errors name the line, of the table or of the stage's source."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyfw.config import ConfigError
from pyfw.config.settings import read
from pyfw.stage import Stage
from pyfw.stages.load import load_stages
from tests.stages.libpcap import needs_libpcap

HEAD = "import msgspec, pyfw\nfrom pathlib import Path\nfrom pyfw.stage import Stage\n"
MINE = HEAD + "class Mine(Stage):\n    pass\n"
OPTIONED = (
    HEAD
    + """
class Inner(msgspec.Struct, frozen=True):
    deep: int = 0

class Options(msgspec.Struct, frozen=True):
    loss: float
    seed: int = 1
    file: Path | None = None
    words: tuple[str, ...] = ()
    inner: Inner = Inner()

    def __post_init__(self):
        if self.loss > 1:
            raise ValueError("a loss is a fraction from 0 to 1")

class Mine(Stage):
    Options = Options
"""
)

Load = Callable[[str], list[Stage]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads the stages of a wg0.pyfw.toml."""

    def run(toml: str) -> list[Stage]:
        settings, problems = read(toml, "wg0.pyfw.toml")
        assert problems == []
        return load_stages(settings.stages, tmp_path)

    return run


def errors(load: Load, toml: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(toml)
    assert caught.value.__cause__ is None
    return [str(problem) for problem in caught.value.problems]


def table(use: str, *lines: str) -> str:
    return "\n".join(["[[stages]]", f'use = "{use}"', *lines, ""])


# The three forms of `use`


def test_files_are_relative_to_the_toml_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.py").write_text(MINE)
    (stage,) = load(table("sub/mine.py:Mine"))
    assert isinstance(stage, Stage)
    assert (type(stage).__name__, stage.name) == ("Mine", "Mine")


def test_files_are_executed_again_at_each_load(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE + "STATE = 1\n")
    before = set(sys.modules)
    (old,) = load(table("mine.py:Mine"))
    # Of the same length and within the same second, which a .pyc would not notice.
    (tmp_path / "mine.py").write_text(MINE + "STATE = 2\n")
    (new,) = load(table("mine.py:Mine"))
    assert sys.modules[type(new).__module__].STATE == 2
    assert type(old) is not type(new)
    assert all(name.startswith("_pyfw_stage_") for name in set(sys.modules) - before)
    assert not (tmp_path / "__pycache__").exists()


def test_two_stages_from_one_file_share_its_globals(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    first, second = load(table("mine.py:Mine") + table("mine.py:Mine", 'name = "other"'))
    assert type(first) is type(second)
    assert (first.name, second.name) == ("Mine", "other")


def test_modules_are_found_on_the_python_path(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stage_module_of_a_test.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    (stage,) = load(table("stage_module_of_a_test:Mine"))
    assert type(stage).__module__ == "stage_module_of_a_test"
    del sys.modules["stage_module_of_a_test"]


@pytest.mark.parametrize(("name", "cls"), [("tap", "Tap"), ("impair", "Impair")])
def test_the_built_in_stages_are_entry_points(load: Load, name: str, cls: str) -> None:
    (stage,) = load(table(name, 'options = { file = "a.pcapng" }' if name == "tap" else ""))
    assert type(stage).__name__ == cls


# The table's keys


def test_keys_of_the_table_override_the_class(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        HEAD
        + "class Mine(Stage):\n    direction = 'inbound'\n    filter = 'udp'\n    on_error = 'pass'\n"
    )
    toml = table("mine.py:Mine", 'name = "n"', 'direction = "outbound"', "filter.dst_port = 53")
    (stage,) = load(toml)
    assert (stage.name, stage.direction, stage.filter) == ("n", "outbound", {"dst_port": 53})
    assert (stage.on_error, stage.peers) == ("pass", None)
    (stage,) = load(table("mine.py:Mine"))
    assert (stage.direction, stage.filter) == ("inbound", "udp")


def test_options_are_converted_to_their_types(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIONED)
    lines = ("[stages.options]", "loss = 1", 'file = "out/a.pcapng"', 'words = ["a", "b"]')
    (stage,) = load(table("mine.py:Mine", *lines, "inner.deep = 3"))
    options = stage.options
    assert (options.loss, options.seed, options.words) == (1.0, 1, ("a", "b"))
    assert options.file == tmp_path / "out/a.pcapng"
    assert options.inner.deep == 3


def test_option_errors_come_at_once_with_their_lines(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIONED)
    lines = ("[stages.options]", 'los = "1"', "seed = 1.5", "words = [1]", "inner.deep = true")
    assert errors(load, table("mine.py:Mine", *lines)) == [
        "wg0.pyfw.toml:3: stages[0].options.loss: is missing; Mine needs it",
        "wg0.pyfw.toml:4: stages[0].options.los: no such key in the options of Mine; "
        "did you mean loss?",
        "wg0.pyfw.toml:5: stages[0].options.seed: expected `int`, got `float`",
        "wg0.pyfw.toml:6: stages[0].options.words[0]: expected `str`, got `int`",
        "wg0.pyfw.toml:7: stages[0].options.inner.deep: expected `int`, got `bool`",
    ]


def test_post_init_errors_name_the_options_table(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIONED)
    (problem,) = errors(load, table("mine.py:Mine", "options = { loss = 2 }"))
    assert problem == "wg0.pyfw.toml:3: stages[0].options: a loss is a fraction from 0 to 1"


# Stages that do not exist


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("absent.py:Mine", "there is no such file: "),
        ("mine.py:Mien", "mine.py has no Mien; did you mean Mine?"),
        (
            "no_module_of_this_name:Mine",
            "there is no module no_module_of_this_name; write a file as",
        ),
        ("json.no_such:Mine", "there is no module json.no_such; "),
        ("json:Nothing", "json has no Nothing; known are none"),
        ("a-b:Mine", '"a-b" is neither a module nor a .py file'),
        ("imapir", "no installed package offers a stage imapir; did you mean impair?"),
    ],
)
def test_a_missing_stage_is_an_error_at_its_use_key(
    load: Load, tmp_path: Path, use: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (problem,) = errors(load, table(use))
    assert problem.startswith("wg0.pyfw.toml:2: stages[0].use: ")
    assert message in problem


def test_a_fifo_is_not_a_stage_file(load: Load, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "mine.py")
    assert "there is no such file" in errors(load, table("mine.py:Mine"))[0]


# Errors in a stage's source


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("import os\n\ndef broken(:\n", 3, "mine.py cannot be imported: SyntaxError: "),
        ("if True:\nx = 1\n", 2, "IndentationError"),
        ("x = 'é'\n", 1, "SyntaxError"),  # written in Latin-1
        ("\n\n1 / 0\n", 3, "mine.py cannot be imported: ZeroDivisionError: division by zero"),
        ("def f():\n    raise SystemExit(3)\nf()\n", 2, "SystemExit: 3"),
        ("raise KeyboardInterrupt\n", 1, "cannot be imported: KeyboardInterrupt"),
        ("def f():\n    f()\nf()\n", 2, "RecursionError"),
        ("raise MemoryError\n", 1, "MemoryError"),
        ("import no_module_of_this_name\n", 1, "No module named 'no_module_of_this_name'"),
        (
            "class E(Exception):\n    def __str__(self): raise self\nraise E\n",
            3,
            "cannot be imported: E",
        ),
        ("raise ValueError('one\\ntwo')\n", 1, "ValueError: one"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
        (
            "class Mine:\n    pass\n",
            1,
            "mine.py:Mine is not a stage; write a subclass of pyfw.Stage",
        ),
        ("\ndef Mine():\n    pass\n", 2, "is not a stage"),
        (
            "from pyfw.stage import Stage\nclass Mine(Stage):\n    Options = dict\n",
            2,
            "Mine.Options is not a msgspec.Struct",
        ),
        (
            HEAD + "class Mine(Stage):\n    def __init__(self, options):\n        1 / 0\n",
            6,
            "Mine cannot be created: ZeroDivisionError",
        ),
        (
            HEAD + "class Mine(Stage):\n    def __init__(self, options):\n        pass\n",
            4,
            "Mine.__init__ does not call super().__init__(options)",
        ),
        (
            HEAD + "class Mine(Stage):\n    def __init__(self):\n        pass\n",
            4,
            "Mine cannot be created: TypeError: ",
        ),
        (HEAD + "class Mine(Stage):\n    direction = 'in'\n", 4, "Mine.direction: is 'in'; write"),
        (HEAD + "class Mine(Stage):\n    on_error = None\n", 4, "Mine.on_error: is None; write"),
        (HEAD + "class Mine(Stage):\n    tick_ms = -1\n", 4, "Mine.tick_ms: is -1"),
        (HEAD + "class Mine(Stage):\n    hold_frames = 1.5\n", 4, "Mine.hold_frames: is 1.5"),
        (HEAD + "class Mine(Stage):\n    peers = 'all'\n", 4, "Mine.peers: must be a collection"),
        (HEAD + "class Mine(Stage):\n    peers = ['a']\n", 4, "Mine.peers: not a key"),
        (
            HEAD + "class Mine(Stage):\n    filter = 3\n",
            4,
            "Mine.filter: must be a tcpdump expression",
        ),
        (
            HEAD + "class Mine(Stage):\n    filter = {'dst_port': range(70_000)}\n",
            4,
            "Mine.filter: dst_port: range(0, 70000) is not 0 to 65535",
        ),
        (
            HEAD + "class Mine(Stage):\n    filter = {'dest_port': 3}\n",
            4,
            "no such key in FrameBatch.where; did you mean dst_port?",
        ),
        (
            HEAD + "class Mine(Stage):\n    async def process(self, batch):\n        pass\n",
            5,
            "process is a coroutine or generator",
        ),
        (
            HEAD + "class Mine(Stage):\n    def tick(self, now_ns):\n        yield\n",
            5,
            "tick is a coroutine or generator",
        ),
        (
            HEAD + "class Mine(Stage):\n    class Options(msgspec.Struct):\n        a: 'Nowhere'\n",
            5,
            "Mine.Options: NameError",
        ),
    ],
)
def test_errors_in_a_stage_name_its_file_and_line(
    load: Load, tmp_path: Path, source: str, line: int, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="latin-1")
    (problem,) = errors(load, table("mine.py:Mine"))
    assert message in problem
    assert problem.startswith(f"{path}:{line}: ")
    assert "Traceback" not in problem and "\n" not in problem


def test_errors_in_a_module_name_its_file_and_line(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package_of_a_test").mkdir()
    (tmp_path / "package_of_a_test" / "__init__.py").write_text("")
    path = tmp_path / "package_of_a_test" / "mine.py"
    path.write_text("\nimport sys\nsys.exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = errors(load, table("package_of_a_test.mine:Mine"))
    assert problem == f"{path}:3: package_of_a_test.mine cannot be imported: SystemExit: 9"
    del sys.modules["package_of_a_test"]


@needs_libpcap
def test_bpf_errors_name_the_line_of_the_filter(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + "class Mine(Stage):\n    filter = 'tcp prt 1'\n")
    (problem,) = errors(load, table("mine.py:Mine"))
    assert problem.startswith(f"{path}:4: Mine.filter: ")
    (problem,) = errors(load, table("mine.py:Mine", 'filter = "udp prt 1"'))
    assert problem.startswith(
        'wg0.pyfw.toml:3: stages[0].filter: the filter "udp prt 1" is invalid'
    )
    (problem,) = errors(load, table("mine.py:Mine", 'filter.bpf = "udp prt 1"'))
    assert 'the filter "udp prt 1" is invalid' in problem
    assert load(table("mine.py:Mine", 'filter = "udp port 1"'))[0].filter == "udp port 1"


def test_a_failed_load_keeps_the_previous_module(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE + "STATE = 1\n")
    (stage,) = load(table("mine.py:Mine"))
    path.write_text(MINE + "STATE = 2\n1 / 0\n")
    errors(load, table("mine.py:Mine"))
    assert sys.modules[type(stage).__module__].STATE == 1


def test_errors_of_all_stages_come_at_once(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1 / 0")
    (tmp_path / "b.py").write_text("(")
    problems = errors(load, table("a.py:A") + table("b.py:B") + table("c.py:C"))
    assert len(problems) == 3


def test_two_stages_cannot_have_the_same_name(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    assert errors(load, table("mine.py:Mine") * 2) == [
        "wg0.pyfw.toml:3: stages[1].name: an earlier stage is also called Mine; give this one another name"
    ]


def test_an_invalid_class_name_needs_a_name_key(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("Mine", "Größe"))
    (problem,) = errors(load, table("mine.py:Größe"))
    assert '"Größe" is not a valid stage name' in problem
    assert load(table("mine.py:Größe", 'name = "size"'))[0].name == "size"


def test_load_errors_are_value_errors(load: Load) -> None:
    error: Any = ConfigError
    with pytest.raises(error) as caught:
        load(table("absent.py:X"))
    assert isinstance(caught.value, ValueError)
