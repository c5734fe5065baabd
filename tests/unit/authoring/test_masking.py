"""Passwords are left out of what is shown and kept, and a secret is no parameter."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time
from urllib.parse import quote, quote_plus

import pandas as pd
import pytest
from pydantic import SecretStr

from orchestrator import context, pipeline, stage
from orchestrator.artifacts.tree import shown_value
from orchestrator.authoring import masking
from orchestrator.authoring.errors import (
    InvalidDefinition,
    InvalidParameters,
    InvalidPipeline,
    MissingSecret,
)
from orchestrator.authoring.masking import (
    holds_password,
    keep_secret,
    keep_secret_arguments,
    mask_json,
    mask_text,
    mask_value,
)
from orchestrator.lifecycle.submission import prepare

SHOWN = {
    "http://me:pw-1@host:5000/x": "http://me:***@host:5000/x",
    "redis://:pw/1@host:6379/0": "redis://:***@host:6379/0",
    "redis://me:p@ss/wo?rd#1@host": "redis://me:***@host",
    "file://u:PW@h": "file://u:***@h",
    "a://u:pw1@h, b://u:pw2@h": "a://u:***@h, b://u:***@h",
    "a://u:pw1@h,b://u:pw2@h": "a://u:***@h,b://u:***@h",
    "redis://host/0?password=pw-1&db=2": "redis://host/0?password=***&db=2",
    "host=db user=me password=pw-1 port=5": "host=db user=me password=*** port=5",
    "connect(password='pw 1', port=5)": "connect(password=***, port=5)",
    "Server=db;UID=me;PWD=pw-1;": "Server=db;UID=me;PWD=***;",
    "{'Authorization': 'Bearer pw-1'}": "{'Authorization': 'Bearer ***'}",
    "authorization: basic cHctMQ==": "authorization: basic ***",
    "https://host/a?sv=2&sig=pw-1%3D&se=3": "https://host/a?sv=2&sig=***&se=3",
    "AccountName=me;AccountKey=pw-1==;Suffix=net": "AccountName=me;AccountKey=***;Suffix=net",
}
AS_IT_IS = [
    "basic authorization: bearers of tokens",
    "http://host:5000/@scope/name",
    "http://127.0.0.1:5000",
    "ssh://git@host/x",
    "https://medium.com/@me",
    '{"a": "http://host:80", "b": "me@x"}',
    "depth=3 max_tokens=5",
    "me@example.org wrote: 5",
]


@pytest.mark.parametrize("text", SHOWN)
def test_passwords_are_masked(text: str) -> None:
    assert mask_text(text) == SHOWN[text]
    assert mask_text(SHOWN[text]) == SHOWN[text]


@pytest.mark.parametrize("text", AS_IT_IS)
def test_other_texts_stay(text: str) -> None:
    assert mask_text(text) == text
    assert not holds_password(text)


def test_values_are_masked_by_their_name_at_any_depth() -> None:
    value = mask_value("config", {"password": "x", "max_tokens": 5, "urls": ["a://u:p@h"], "api_keys": ["x"]})
    assert value == {"password": "***", "max_tokens": 5, "urls": ["a://u:***@h"], "api_keys": "***"}


def test_a_nodes_value_is_shown_without_passwords() -> None:
    assert shown_value({"codec": "json", "value": "a://u:pw@h"}) == '"a://u:***@h"'


def test_a_long_text_is_masked_in_linear_time() -> None:
    began = process_time()
    mask_text("=" + "a" * 1_000_000 + "://u:" * 100_000)
    assert process_time() - began < 5


@stage
def load(source: str, options: dict[str, str] = {}) -> None:  # noqa: B006 - not changed
    pass


@stage
def load_secretly(password: SecretStr) -> None:
    pass


@pipeline
def reads(source: object, options: dict[str, str] = {}) -> None:  # noqa: B006 - not changed
    load(str(source), options)


@pipeline
def reads_its_own() -> None:
    load("postgresql://me:pw-1@db")


@pipeline
def gives_a_secret() -> None:
    load_secretly("pw-1")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "given", [{"source": "postgresql://me:pw-1@db"}, {"source": "x", "options": {"u": "a://u:pw-1@h"}}]
)
def test_a_url_with_a_password_is_no_parameter(given: dict[str, object]) -> None:
    with pytest.raises(InvalidParameters, match="password") as caught:
        prepare(reads, given, queues=("data",))
    assert "pw-1" not in str(caught.value)
    assert "context.secret" in str(caught.value.hint)


def test_a_secret_is_no_parameter() -> None:
    with pytest.raises(InvalidParameters, match=r"'source' is a secret.*context\.secret"):
        prepare(reads, {"source": SecretStr("pw-1")}, queues=("data",))
    with pytest.raises(InvalidDefinition, match="takes a secret as its parameter 'token'"):

        @pipeline
        def wrong(token: SecretStr | None) -> None:
            load("x")


@pytest.mark.parametrize("wrong", [reads_its_own, gives_a_secret])
def test_a_password_is_not_written_into_a_graph(wrong) -> None:
    with pytest.raises(InvalidPipeline, match=r"context\.secret") as caught:
        prepare(wrong, {}, queues=("data",))
    assert "pw-1" not in str(caught.value)


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())


@pytest.mark.usefixtures("nothing_known")
def test_a_secret_is_known_without_the_blanks_around_it() -> None:
    keep_secret("S3cretTokenValue \n")
    assert mask_text("it is S3cretTokenValue.") == "it is ***."


@pytest.mark.usefixtures("nothing_known")
def test_a_known_secret_is_masked_however_it_is_quoted() -> None:
    text = "Kz3'\"/J9\\é+Hm 5"
    keep_secret(text)
    frame = pd.DataFrame({"a": [text]})
    for form in (
        text,
        repr(text),
        repr([{"a": text}]),
        ascii(text),
        json.dumps(text),
        json.dumps(text, ensure_ascii=False),
        frame.to_json(),
        frame.to_csv(),
        quote(text),
        quote_plus(text),
    ):
        assert "Kz3" not in mask_text(form), form
        assert "Hm" not in mask_text(form), form


@pytest.mark.usefixtures("nothing_known")
def test_a_secret_of_digits_leaves_json_readable() -> None:
    keep_secret("4711")
    assert mask_json('{"4711": [4711, "4711"]}') == '{"***": [4711, "***"]}'
    assert shown_value({"codec": "json", "value": ["4711", 4711]}) == '["***", 4711]'


@pytest.mark.usefixtures("nothing_known")
def test_arguments_that_are_secrets_by_their_name_are_masked() -> None:
    keep_secret_arguments(
        {
            "api_key": "abcdefgh",
            "password": "none",
            "secret_name": "warehouse",
            "key": "customer",
            "password_2": 5,
        }
    )
    told = "abcdefgh none warehouse customer 5"
    assert mask_text(told) == told.replace("abcdefgh", "***")


def test_a_stage_reads_a_secret_which_is_masked_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())
    (tmp_path / "key").write_text("line-one\nline-two\n")
    monkeypatch.setenv("WAREHOUSE", "hunter-2")
    monkeypatch.setenv("KEY_FILE", str(tmp_path / "key"))
    assert mask_text("hunter-2") == "hunter-2"
    assert context.secret("WAREHOUSE") == "hunter-2"
    assert context.secret("KEY") == "line-one\nline-two"
    assert mask_text("wrong: hunter-2, line-two") == "wrong: ***, ***"
    with pytest.raises(MissingSecret, match="no secret NOBODYS") as caught:
        context.secret("NOBODYS")
    assert "NOBODYS_FILE" in str(caught.value.hint)
