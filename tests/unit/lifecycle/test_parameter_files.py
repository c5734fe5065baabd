"""Parameters from YAML, TOML and JSON."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lifecycle.parameter_files import UnreadableParameters, read_parameters

WANTED = {"rows": 3, "rate": 1e-3, "name": "no", "deep": {"list": [1, "b", None, True]}}
YAML = """
rows: 3
rate: 1e-3
name: no   # a text, as in YAML 1.2
deep:
  list: [1, b, null, true]
"""
TOML = 'rows = 3\nrate = 1e-3\nname = "no"\n[deep]\nlist = [1, "b", true]\n'


@pytest.fixture
def written(tmp_path):
    def written(name, content):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(file)

    return written


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", YAML), ("a.YML", YAML), ("a.json", json.dumps(WANTED)), ("bom.yaml", "\ufeff" + YAML)],
)
def test_a_file_is_read_by_its_suffix(written, name, text):
    assert read_parameters(written(name, text)) == WANTED


def test_toml_is_read(written):
    deep = {"list": [1, "b", True]}
    assert read_parameters(written("a.toml", TOML)) == {**WANTED, "deep": deep}


@pytest.mark.parametrize("text", [YAML, json.dumps(WANTED)], ids=["yaml", "json"])
def test_standard_input_is_yaml_or_json(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert read_parameters("-") == WANTED


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("~", None),
        ("'3'", "3"),
        ("v1.2", "v1.2"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(written, text, value):
    assert read_parameters(written("a.yaml", f"x: {text}"))["x"] == value


def test_anchors_are_written_out(written):
    text = "base: &base {a: 1}\nother:\n  <<: *base\n  b: 2\n"
    assert read_parameters(written("a.yaml", text))["other"] == {"a": 1, "b": 2}


def test_an_empty_file_has_no_parameters(written):
    for name in ("a.yaml", "a.json", "a.toml"):
        assert read_parameters(written(name, "")) == {}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


#: Few lines that would be hundreds of millions of names.
MERGED = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.yaml", "x: 1\ny: 2\nx: 3\n", "line 3, column 1: 'x' is given twice"),
        ("a.yaml", "x: {a: 1, a: 2}", "'a' is given twice"),
        ("a.json", '{"x": {"a": 1, "a": 2}}', "'a' is given twice"),
        ("a.toml", "x = 1\nx = 2\n", "line 2"),
        ("a.yaml", "x: [1, 2", "line 1"),
        ("a.json", '{"x": 1,\n}', "line 2"),
        ("a.json", '{"x": NaN}', "NaN is no number"),
        ("a.yaml", "- 1\n- 2\n", "it holds a list, not parameters by name"),
        ("a.json", "3", "it holds a int"),
        ("a.yaml", "1: a", "the name 1 is no text"),
        ("a.yaml", b"x: \xff", "is not UTF-8 .at byte 4"),
        ("a.yaml", "x: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a.yaml", BOMB, "more than 100,000 values"),
        ("a.yaml", "x: &a [*a]", "nested too deeply"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"x": ' + "[" * 200 + "]" * 200 + "}", "nested too deeply"),
        ("a.yaml", MERGED, "more than 100,000 values"),
        ("a.json", '{"x": ' + "1" * 5000 + "}", "not what it says to be"),
        ("a.yaml", "x: !!bool abc", "not what it says to be"),
        ("a.yaml", "x: !!int abc", "not what it says to be"),
        ("a.yaml", "x: !!timestamp abc", "not what it says to be"),
        ("a.ini", "x=1", "none of .yaml"),
        ("a.yaml", "x: " + "a" * 1024 * 1024, "larger than 1024 KiB"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_clear_line(written, name, content, told):
    file = written(name, content)
    with pytest.raises(UnreadableParameters, match=told) as wrong:
        read_parameters(file)
    assert "\n" not in str(wrong.value)
    assert file in str(wrong.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UnreadableParameters, match="No such file"):
        read_parameters(str(tmp_path / "missing.yaml"))
    with pytest.raises(UnreadableParameters, match="Is a directory"):
        read_parameters(str(tmp_path))


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
            max_leaves=8,
        ),
    )
)
def test_json_is_read_as_it_was_written(tmp_path_factory, values):
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    assert read_parameters(str(file)) == values
