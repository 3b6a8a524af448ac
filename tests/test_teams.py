"""docs/teams.md, typed: two people, a server of runs on PostgreSQL and S3, a store of data, and what is left there."""

from __future__ import annotations

import base64
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import requests
from pages import Shell, Typed, typed_lines
from scratch_project import ROOT, make_project
from servers import free_port, postgresql, why_no_postgresql

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs" / "teams.md").read_text()
SERVERS = ("mlflow server", "moto_server")  # commands that do not end
SECRET = "change me"  # all passwords and keys of the page begin with it


class Team(NamedTuple):
    """The folder in which the page was typed, its shells by name, and the ports of MLflow and of the S3 store."""

    folder: Path
    shells: dict[str, Shell]
    runs: int
    store: int

    def type(self, line: Typed) -> None:
        """Type a line of the page; what it answers must be what the page shows."""
        shell = self.shells[line.who]
        if line.command == "^C":
            shell.interrupt()
        elif line.command.startswith(SERVERS):
            shell.serve(line.command, self.runs if line.command.startswith("mlflow") else self.store)
        else:
            answer, code = shell.type(line.command)
            told = f"{line.who}$ {line.command}\n{answer}"
            assert (code != 0) == line.answer.startswith("error: "), told
            if line.answer:
                pattern = re.escape(line.answer).replace(r"\.\.\.", ".*")
                assert re.fullmatch(pattern, answer, re.DOTALL), f"{told}\n\nthe page shows:\n{line.answer}"

    def ask(self, who: str, password: str, call: str, **values: Any) -> requests.Response:
        """Call MLflow's server."""
        url = f"http://127.0.0.1:{self.runs}/api/2.0/mlflow/{call}"
        return requests.post(url, json=values, auth=(who, password), timeout=60)

    def live_runs(self) -> dict[str, dict[str, str]]:
        """Return the tags of the live runs by id."""
        answer = self.ask("admin", "change me: admin", "runs/search", experiment_ids=["1"], max_results=1000)
        runs = {run["info"]["run_id"]: run["data"]["tags"] for run in answer.json()["runs"]}
        tags = {run_id: {tag["key"]: tag["value"] for tag in found} for run_id, found in runs.items()}
        return {run_id: found for run_id, found in tags.items() if found.get("experiment.live") == "true"}

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what a bucket holds, by name."""
        import boto3  # type: ignore[import-untyped]

        url = f"http://127.0.0.1:{self.store}"
        session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1")
        found = session.resource("s3", endpoint_url=url).Bucket(bucket).objects.all()
        return {one.key: one.get()["Body"].read() for one in found}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Type the page, from its first line to its last, on the digits."""
    if reason := why_no_postgresql():
        pytest.skip(reason)
    if missing := [name for name in ("moto_server", "psql", "curl", "openssl") if shutil.which(name) is None]:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("team")
    everyone = make_project(folder / "softmax-regression", epochs=10).variables()
    everyone = {name: value for name, value in everyone.items() if not name.startswith(("AWS_", "PG"))}
    everyone["XDG_CACHE_HOME"] = str(Path.home() / ".cache")  # matplotlib looks for the machine's fonts once
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        team = Team(folder, {}, runs=free_port(), store=free_port())
        everyone["PGPORT"] = str(database.port)
        superuser = {"PGUSER": "postgres", "PGHOST": str(database.folder)}
        for line in typed_lines(re.sub(r"\b5000\b", str(team.runs), re.sub(r"\b9000\b", str(team.store), PAGE))):
            if line.who not in team.shells:
                home = folder / "homes" / line.who
                home.mkdir(parents=True)
                (home / ".gitconfig").write_text(f"[user]\n name = {line.who}\n email = {line.who}@example.org\n")
                own = {"HOME": str(home), "LOGNAME": line.who} | (superuser if line.who == "postgres" else {})
                team.shells[line.who] = Shell(folder, everyone | own)
                stack.callback(team.shells[line.who].close)
            team.type(line)
        yield team


def test_every_block_is_typed() -> None:
    """By one of the terminals; a command may take several lines, and what it answers is held against the page."""
    assert len(re.findall("^```console", PAGE, re.MULTILINE)) == len(
        re.findall(r"^```console \w+$", PAGE, re.MULTILINE)
    )
    assert typed_lines(
        "```console ann\n$ a \\\n    b\n...\nc\n$ d\n```\n```\n$ e\n```\n```console bob\n$ f\n```\n"
    ) == [
        Typed("ann", "a \\\n    b", "...\nc"),
        Typed("ann", "d", ""),
        Typed("bob", "f", ""),
    ]
    assert {line.who for line in typed_lines(PAGE)} == {"postgres", "s3", "server", "admin", "ann", "bob"}


def test_each_experiment_is_one_run_of_whoever_trained_it(team: Team) -> None:
    """Ann: the first one, six seeds of two configurations, and what she did without the server. Bob: his six seeds."""
    runs = team.live_runs()
    assert len({tags["experiment.key"] for tags in runs.values()}) == len(runs)
    assert Counter(tags["mlflow.user"] for tags in runs.values()) == {"ann": 14, "bob": 6}


def test_files_are_in_the_buckets(team: Team) -> None:
    """Each live run has its own, which the server passes on; data and outputs lie beside them."""
    files = team.objects("runs")
    assert all(f"1/{run_id}/artifacts/experiment.json" in files for run_id in team.live_runs())
    assert not (team.folder / "server" / "mlartifacts").exists()
    assert any(name.startswith("files/md5/") for name in team.objects("data"))


def test_no_credential_is_left_anywhere(team: Team) -> None:
    """Neither in the store, its files, the data, the history and its experiments, nor in the clones and all logs."""
    postgres, repository = team.shells["postgres"], team.folder / "team.git"
    texts = {f"bucket {name}: {key}": text for name in ("runs", "data") for key, text in team.objects(name).items()}
    for command in ("pg_dump runs", "pg_dump accounts", f"git -C {repository} log --all --patch --text"):
        text, code = postgres.type(command)
        assert code == 0
        assert text
        texts[command] = text.encode()
    for path in team.folder.rglob("*"):
        if path.is_file() and path.name != "config.local":
            texts[str(path)] = path.read_bytes()
    forms = (SECRET, quote(SECRET), base64.b64encode(f"bob:{SECRET}: bob".encode()).decode())
    assert [place for place, text in texts.items() if any(form.encode() in text for form in forms)] == []
    for name in ("ann", "bob"):
        assert SECRET in (team.folder / name / ".dvc" / "config.local").read_text()


def test_a_wrong_password_is_one_line(team: Team) -> None:
    """It says what to check, and not what was given."""
    answer, code = team.shells["bob"].type("MLFLOW_TRACKING_PASSWORD='change me: no more' softmax-regression sync")
    assert code == 1
    assert re.fullmatch(r"error: the MLflow server at \S+ refuses the credentials \(401\); check MLFLOW_.*", answer)


def test_who_may_delete(team: Team) -> None:
    """Bob records into the experiment that ann made, and deletes nothing of it."""
    run_id = next(iter(team.live_runs()))
    assert team.ask("bob", "change me: bob", "runs/set-tag", run_id=run_id, key="seen", value="yes").ok
    assert team.ask("bob", "change me: bob", "runs/delete", run_id=run_id).status_code == 403
    assert team.ask("ann", "change me: my own", "runs/delete", run_id=run_id).ok
    assert team.ask("ann", "change me: my own", "runs/restore", run_id=run_id).ok
