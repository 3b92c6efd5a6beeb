"""`use` becomes a stage, or a sentence that says in which line of whose file something is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyfw.config import ConfigError
from pyfw.config.settings import read
from pyfw.stage import Stage
from pyfw.stages.find import find
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

Finds = Callable[[str], list[Stage]]


@pytest.fixture
def finds(tmp_path: Path) -> Finds:
    """Finds the stages of a wg0.pyfw.toml."""

    def run(toml: str) -> list[Stage]:
        settings, problems = read(toml, "wg0.pyfw.toml")
        assert problems == []
        return find(settings.stages, tmp_path)

    return run


def wrong(finds: Finds, toml: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        finds(toml)
    assert caught.value.__cause__ is None
    return [str(problem) for problem in caught.value.problems]


def table(use: str, *lines: str) -> str:
    return "\n".join(["[[stages]]", f'use = "{use}"', *lines, ""])


# The three forms


def test_a_file_is_found_beside_the_toml(finds: Finds, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.py").write_text(MINE)
    (stage,) = finds(table("sub/mine.py:Mine"))
    assert isinstance(stage, Stage)
    assert (type(stage).__name__, stage.name) == ("Mine", "Mine")


def test_a_file_is_executed_anew_each_time_under_no_public_name(
    finds: Finds, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE + "STATE = 1\n")
    before = set(sys.modules)
    (old,) = finds(table("mine.py:Mine"))
    # As long as before, and within the same second.
    (tmp_path / "mine.py").write_text(MINE + "STATE = 2\n")
    (new,) = finds(table("mine.py:Mine"))
    assert sys.modules[type(new).__module__].STATE == 2
    assert type(old) is not type(new)
    assert all(name.startswith("_pyfw_stage_") for name in set(sys.modules) - before)
    assert not (tmp_path / "__pycache__").exists()


def test_two_stages_of_one_file_share_its_globals(finds: Finds, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    first, second = finds(table("mine.py:Mine") + table("mine.py:Mine", 'name = "other"'))
    assert type(first) is type(second)
    assert (first.name, second.name) == ("Mine", "other")


def test_a_module_is_found_on_pythons_path(
    finds: Finds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stage_module_of_a_test.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    (stage,) = finds(table("stage_module_of_a_test:Mine"))
    assert type(stage).__module__ == "stage_module_of_a_test"
    del sys.modules["stage_module_of_a_test"]


@pytest.mark.parametrize(("name", "cls"), [("tap", "Tap"), ("impair", "Impair")])
def test_the_built_in_stages_are_entry_points(finds: Finds, name: str, cls: str) -> None:
    (stage,) = finds(table(name, 'options = { file = "a.pcapng" }' if name == "tap" else ""))
    assert type(stage).__name__ == cls


# What is written


def test_what_is_written_stands_on_the_stage_and_the_rest_is_the_class_s(
    finds: Finds, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        HEAD
        + "class Mine(Stage):\n    direction = 'inbound'\n    filter = 'udp'\n    on_error = 'pass'\n"
    )
    toml = table("mine.py:Mine", 'name = "n"', 'direction = "outbound"', "filter.dst_port = 53")
    (stage,) = finds(toml)
    assert (stage.name, stage.direction, stage.filter) == ("n", "outbound", {"dst_port": 53})
    assert (stage.on_error, stage.peers) == ("pass", None)
    (stage,) = finds(table("mine.py:Mine"))
    assert (stage.direction, stage.filter) == ("inbound", "udp")


def test_options_are_converted_and_paths_are_relative_to_the_toml(
    finds: Finds, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OPTIONED)
    lines = ("[stages.options]", "loss = 1", 'file = "out/a.pcapng"', 'words = ["a", "b"]')
    (stage,) = finds(table("mine.py:Mine", *lines, "inner.deep = 3"))
    options = stage.options
    assert (options.loss, options.seed, options.words) == (1.0, 1, ("a", "b"))
    assert options.file == tmp_path / "out/a.pcapng"
    assert options.inner.deep == 3


def test_all_wrong_options_are_named_at_once_with_their_lines(finds: Finds, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIONED)
    lines = ("[stages.options]", 'los = "1"', "seed = 1.5", "words = [1]", "inner.deep = true")
    assert wrong(finds, table("mine.py:Mine", *lines)) == [
        "wg0.pyfw.toml:3: stages[0].options.loss: is missing; Mine needs it",
        "wg0.pyfw.toml:4: stages[0].options.los: no such key in the options of Mine; "
        "did you mean loss?",
        "wg0.pyfw.toml:5: stages[0].options.seed: expected `int`, got `float`",
        "wg0.pyfw.toml:6: stages[0].options.words[0]: expected `str`, got `int`",
        "wg0.pyfw.toml:7: stages[0].options.inner.deep: expected `int`, got `bool`",
    ]


def test_what_options_find_as_a_whole_is_the_operators(finds: Finds, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIONED)
    (problem,) = wrong(finds, table("mine.py:Mine", "options = { loss = 2 }"))
    assert problem == "wg0.pyfw.toml:3: stages[0].options: a loss is a fraction from 0 to 1"


# What cannot be found


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("absent.py:Mine", "there is no such file: "),
        ("mine.py:Mien", "mine.py has no Mien; did you mean Mine?"),
        ("no_module_of_this_name:Mine", "there is no module no_module_of_this_name; a file is"),
        ("json.no_such:Mine", "there is no module json.no_such; "),
        ("json:Nothing", "json has no Nothing; known are none"),
        ("a-b:Mine", '"a-b" is neither a module nor a .py file'),
        ("imapir", "no installed package offers a stage imapir; did you mean impair?"),
    ],
)
def test_what_is_not_there_is_told_at_the_operators_line(
    finds: Finds, tmp_path: Path, use: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (problem,) = wrong(finds, table(use))
    assert problem.startswith("wg0.pyfw.toml:2: stages[0].use: ")
    assert words in problem


def test_a_fifo_is_no_file(finds: Finds, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "mine.py")
    assert "there is no such file" in wrong(finds, table("mine.py:Mine"))[0]


# What is wrong in a stage's source


@pytest.mark.parametrize(
    ("source", "line", "words"),
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
        ("class Mine:\n    pass\n", 1, "mine.py:Mine is no stage; write a subclass of pyfw.Stage"),
        ("\ndef Mine():\n    pass\n", 2, "is no stage"),
        (
            "from pyfw.stage import Stage\nclass Mine(Stage):\n    Options = dict\n",
            2,
            "Mine.Options is no msgspec.Struct",
        ),
        (
            HEAD + "class Mine(Stage):\n    def __init__(self, options):\n        1 / 0\n",
            6,
            "Mine cannot be made: ZeroDivisionError",
        ),
        (
            HEAD + "class Mine(Stage):\n    def __init__(self, options):\n        pass\n",
            4,
            "Mine.__init__ does not call super().__init__(options)",
        ),
        (
            HEAD + "class Mine(Stage):\n    def __init__(self):\n        pass\n",
            4,
            "Mine cannot be made: TypeError: ",
        ),
        (HEAD + "class Mine(Stage):\n    direction = 'in'\n", 4, "Mine.direction: is 'in'; write"),
        (HEAD + "class Mine(Stage):\n    on_error = None\n", 4, "Mine.on_error: is None; write"),
        (HEAD + "class Mine(Stage):\n    tick_ms = -1\n", 4, "Mine.tick_ms: is -1"),
        (HEAD + "class Mine(Stage):\n    hold_frames = 1.5\n", 4, "Mine.hold_frames: is 1.5"),
        (HEAD + "class Mine(Stage):\n    peers = 'all'\n", 4, "Mine.peers: is a collection"),
        (HEAD + "class Mine(Stage):\n    peers = ['a']\n", 4, "Mine.peers: not a key"),
        (HEAD + "class Mine(Stage):\n    filter = 3\n", 4, "Mine.filter: is an expression"),
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
def test_what_is_wrong_in_a_stage_is_told_at_the_stages_own_line(
    finds: Finds, tmp_path: Path, source: str, line: int, words: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="latin-1")
    (problem,) = wrong(finds, table("mine.py:Mine"))
    assert words in problem
    assert problem.startswith(f"{path}:{line}: ")
    assert "Traceback" not in problem and "\n" not in problem


def test_a_fault_in_a_module_is_told_at_its_own_line(
    finds: Finds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package_of_a_test").mkdir()
    (tmp_path / "package_of_a_test" / "__init__.py").write_text("")
    path = tmp_path / "package_of_a_test" / "mine.py"
    path.write_text("\nimport sys\nsys.exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = wrong(finds, table("package_of_a_test.mine:Mine"))
    assert problem == f"{path}:3: package_of_a_test.mine cannot be imported: SystemExit: 9"
    del sys.modules["package_of_a_test"]


@needs_libpcap
def test_a_bpf_filter_is_compiled_and_told_at_the_line_that_has_it(
    finds: Finds, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + "class Mine(Stage):\n    filter = 'tcp prt 1'\n")
    (problem,) = wrong(finds, table("mine.py:Mine"))
    assert problem.startswith(f"{path}:4: Mine.filter: ")
    (problem,) = wrong(finds, table("mine.py:Mine", 'filter = "udp prt 1"'))
    assert problem.startswith('wg0.pyfw.toml:3: stages[0].filter: the filter "udp prt 1" is wrong')
    (problem,) = wrong(finds, table("mine.py:Mine", 'filter.bpf = "udp prt 1"'))
    assert 'the filter "udp prt 1" is wrong' in problem
    assert finds(table("mine.py:Mine", 'filter = "udp port 1"'))[0].filter == "udp port 1"


def test_a_version_with_a_fault_leaves_the_one_before_it_as_it_is(
    finds: Finds, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE + "STATE = 1\n")
    (stage,) = finds(table("mine.py:Mine"))
    path.write_text(MINE + "STATE = 2\n1 / 0\n")
    wrong(finds, table("mine.py:Mine"))
    assert sys.modules[type(stage).__module__].STATE == 1


def test_the_faults_of_all_stages_come_at_once(finds: Finds, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1 / 0")
    (tmp_path / "b.py").write_text("(")
    found = wrong(finds, table("a.py:A") + table("b.py:B") + table("c.py:C"))
    assert len(found) == 3


def test_two_stages_never_have_one_name(finds: Finds, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    assert wrong(finds, table("mine.py:Mine") * 2) == [
        "wg0.pyfw.toml:3: stages[1].name: an earlier stage is called Mine, too; "
        "give this one a name of its own"
    ]


def test_a_class_whose_name_counters_cannot_have_is_told_to_be_named(
    finds: Finds, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("Mine", "Größe"))
    (problem,) = wrong(finds, table("mine.py:Größe"))
    assert '"Größe" is not a name for a stage' in problem
    assert finds(table("mine.py:Größe", 'name = "size"'))[0].name == "size"


def test_what_is_wrong_is_a_value_error_like_all_configuration(finds: Finds) -> None:
    error: Any = ConfigError
    with pytest.raises(error) as caught:
        finds(table("absent.py:X"))
    assert isinstance(caught.value, ValueError)
