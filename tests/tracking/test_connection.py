"""Servers are waited for briefly, named without credentials, and their failures told in one line."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from tiny_disk import fill, tiny_disk

from softmax_regression.files import write_atomically
from softmax_regression.redaction import redact
from softmax_regression.tracking.client import Client
from softmax_regression.tracking.connection import explain, impatience, settle_environment, without_credentials
from softmax_regression.tracking.run_store import RunStore

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test change the variables."""
    for name in (TIMEOUT, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_credentials_leave_the_uri_for_the_variables_that_mlflow_reads() -> None:
    """The URI is bare, user name and password are decoded."""
    assert without_credentials("https://ann:o%21pen@host:5000/base") == "https://host:5000/base"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "o!pen"


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://ann:open@host/db", "sqlite:////a@b/mlflow.db"])
def test_other_uris_stay(uri: str) -> None:
    """Only a web server's URI gives its credentials away."""
    assert without_credentials(uri) == uri
    assert "MLFLOW_TRACKING_USERNAME" not in os.environ


@pytest.mark.parametrize("uri", ["https://bob:p/w@host", "http://[bob:pw@host"])
def test_a_uri_that_cannot_be_parsed_is_refused_unseen(uri: str) -> None:
    """A slash in a password makes it ambiguous: the error says what to write and repeats no part of it."""
    with pytest.raises(ValueError, match=r"^MLFLOW_TRACKING_URI is no valid URL; write / and @ .* as %2F and %40$"):
        without_credentials(uri)


def test_a_store_is_opened_with_less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits are ours while nobody sets others: short on opening, longer later."""
    settle_environment()
    assert os.environ[TIMEOUT] == "10"
    with impatience():
        assert os.environ[TIMEOUT] == "4"
    assert os.environ[TIMEOUT] == "10"
    monkeypatch.setenv(TIMEOUT, "60")
    settle_environment()
    with impatience():
        assert os.environ[TIMEOUT] == "60"


def test_what_is_created_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow repeats every call whose answer is late, also one that creates a run: then there would be two."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    settle_environment()
    seen: list[list[str | None]] = []

    def asked() -> list[str | None]:
        return [os.environ.get(name) for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", TIMEOUT)]

    class Slow:
        def create_run(self, *_: object, **__: object) -> SimpleNamespace:
            seen.append(asked())
            return SimpleNamespace(info=SimpleNamespace(run_id="1"))

    assert Client(Slow(), "http://127.0.0.1:9", "0", None).create_run("a", {}) == "1"
    assert seen == [["0", "60"]]
    assert asked() == ["1", "10"]


def test_the_innermost_cause_is_told() -> None:
    """A refused connection is told as such, and its URL without credentials."""
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get("http://127.0.0.1:9/", timeout=1, proxies={"http": ""})
    line = explain("http://ann:secret@127.0.0.1:9", caught.value)
    assert line.startswith("the MLflow server at http://***@127.0.0.1:9 does not answer: Connection refused; see that")


def test_an_answer_that_is_an_error_is_not_silence() -> None:
    """A server's own words are passed on; refused credentials name the variables."""
    response = requests.Response()
    response.status_code = 500
    assert "refuses a call: disk full;" in explain("http://h", requests.HTTPError("disk full\nmore", response=response))
    response.status_code = 401
    assert "refuses the credentials (401); check MLFLOW_TRACKING_USERNAME" in explain(
        "http://h", requests.HTTPError("no", response=response)
    )
    response.status_code = 403
    said = "API request failed with error code 403 != 200. Response body: 'Permission denied'"
    assert "does not allow this (403): Permission denied; ask its admin" in explain(
        "http://h", requests.HTTPError(said, response=response)
    )


def test_a_local_store_is_told_from_a_server(tmp_path: Path) -> None:
    """A file that may not be read, or a full disk, is the store's, not a server's; an artifact is named."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    denied = OSError(errno.EACCES, "Permission denied")
    assert explain(uri, denied) == (
        f"the MLflow store {uri} does not take a call: Permission denied; see who else has it open, and its rights"
    )
    full = OSError(errno.ENOSPC, "No space left on device", "/tmp/a", None, "/store/a")
    assert explain(uri, full).startswith(f"the MLflow store {uri} does not take /store/a: the disk is full (")


def test_a_database_of_another_version_on_a_server_is_told() -> None:
    """Where MLflow finds that a database of a server's needs an upgrade, it says by which command."""
    error = RuntimeError("Detected out-of-date database schema (found version a, but expected b).")
    assert explain("postgresql://host/db", error) == (
        "the MLflow store postgresql://host/db was written by another version of MLflow; "
        "back it up, then run `mlflow db upgrade postgresql://host/db`"
    )


def test_a_run_whose_disk_is_full_does_not_stay_running(empty: Path, tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    """What did not find room is not left in part, so that the status finds it; what the store cannot take is told."""
    with tiny_disk(tmp_path / "disk", 2**22) as disk:
        root = Path(shutil.copytree(empty, disk / "project"))
        store = RunStore.open(root)
        run = store.start_run("a", "c", {})
        fill(disk, leave=200_000)
        with pytest.raises(OSError, match="model cannot be written: it needs 300,000 bytes, and the disk is full"), run:
            write_atomically(root / "model", bytes(300_000))
        assert store.existing(run.run_id).status == "FAILED"

        run = store.start_run("a", "c", {})
        run.log_bytes(bytes(300_000), "a.bin")
        assert re.search(
            r"mlflow\.db does not take a call: the disk is full \([1-9][\d,]+ bytes are free", str(run.lost)
        )
        assert store.artifacts(run.run_id) == []

        fill(disk)
        with pytest.raises(RuntimeError, match=r"not take a call: the disk is full \(0 bytes are free in .*\); make"):
            store.start_run("a", "c", {})


def test_a_password_that_the_uri_replaces_stays_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a password in the variable and another in the URI, neither is ever shown."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "someone")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "first-secret")
    monkeypatch.setenv("REPLACED_TRACKING_PASSWORD", "")
    without_credentials("http://ann:second-secret@localhost:1")
    assert redact("first-secret second-secret") == "*** ***"
