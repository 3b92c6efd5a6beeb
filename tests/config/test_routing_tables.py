from pathlib import Path

import pytest

from pyfw import config
from pyfw.config import routing_tables

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture(autouse=True)
def directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared, own = tmp_path / "usr", tmp_path / "etc"
    (own / "rt_tables.d").mkdir(parents=True)
    shared.mkdir()
    (shared / "rt_tables").write_text(
        "# comment\n0 unspec\n254 main\n100 office\n0x65\tlab # hex\n"
    )
    (own / "rt_tables").write_text("200 office\nx bad\n99999999999 huge\n")
    (own / "rt_tables.d" / "more.conf").write_text("  300 Guests\n")
    (own / "rt_tables.d" / "more.txt").write_text("301 ignored\n")
    monkeypatch.setattr(
        routing_tables, "_DIRECTORIES", (str(shared), str(own), str(tmp_path / "no"))
    )


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("main", 254),
        ("local", 255),
        ("lab", 101),
        ("Guests", 300),
        ("unspec", None),
        ("bad", None),
        ("huge", None),
        ("ignored", None),
    ],
)
def test_names_are_looked_up_as_by_iproute2(name: str, number: int | None) -> None:
    assert routing_tables.number_of(name) == number


def test_files_in_etc_override_those_in_usr() -> None:
    assert routing_tables.number_of("office") == 200


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("Guests", 300),
        ("MAIN", 254),
        ("0x1F", 31),
        ("1234", 1234),
        ("Off", "off"),
        ("auto", "auto"),
    ],
)
def test_a_table_is_a_name_or_a_number(text: str, table: int | str) -> None:
    conf = f"[Interface]\nPrivateKey = {KEY}\nTable = {text}\n"
    assert config.parse(conf).interface.table == table


@pytest.mark.parametrize("text", ["nowhere", "0x0", "0", "0x1ffffffff", "-1"])
def test_errors_say_what_a_table_is(text: str) -> None:
    conf = f"[Interface]\nPrivateKey = {KEY}\nTable = {text}\n"
    with pytest.raises(config.ConfigError, match="a routing table") as error:
        config.parse(conf)
    assert error.value.problems[0].line == 3
