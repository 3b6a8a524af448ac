"""Fetching from an ordered list of sources: the right bytes from whoever has them, or one error that tells all."""

import hashlib
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from loopback import USER_INFO, Loopback, serve

from softmax_regression.download.sources import NoSourceError, fetch, reachable

CONTENTS = {"a.gz": b"first" * 50, "b.gz": b"second" * 50, "c.gz": b"third" * 50}
FILES = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in CONTENTS.items()}
ALL = set(CONTENTS.items())
LARGEST = 300  # bytes: that of b.gz


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve the files, reached without the proxy of the environment."""
    importlib.import_module("requests")  # so that importing it takes no part of a limit below
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(CONTENTS) as loopback:
        yield loopback


def write(folder: Path, **changes: bytes | None) -> str:
    """Write the files to a folder, `a=...` instead of the content of a.gz, None for no such file; return its path."""
    folder.mkdir()
    for name, content in CONTENTS.items():
        changed = changes.get(name.removesuffix(".gz"), content)
        if changed is not None:
            (folder / name).write_bytes(changed)
    return str(folder)


def found(folder: Path) -> set[tuple[str, bytes]]:
    """Return what is in a folder, hidden files included."""
    return {(path.name, path.read_bytes()) for path in folder.iterdir()} if folder.exists() else set()


def get(tmp_path: Path, sources: Sequence[str], timeout: float = 5) -> set[tuple[str, bytes]]:
    """Fetch all files into a folder of their own and return what is there."""
    fetch(FILES, sources, tmp_path, timeout, tmp_path / "here", LARGEST)
    return found(tmp_path / "here")


def failure(tmp_path: Path, sources: Sequence[str], timeout: float = 5) -> str:
    """Return the message of a fetch that must fail."""
    with pytest.raises(NoSourceError) as caught:
        get(tmp_path, sources, timeout)
    return str(caught.value)


def test_a_folder_is_copied(tmp_path: Path) -> None:
    """All files of a folder arrive, byte for byte, and nothing else."""
    assert get(tmp_path, [write(tmp_path / "there")]) == ALL


def test_a_relative_folder_counts_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from the working folder, which is another one in DVC's temporary workspaces."""
    write(tmp_path / "there")
    (tmp_path / "project").mkdir()
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    fetch(FILES, ["../there"], tmp_path / "project", 5, tmp_path / "here", LARGEST)
    assert found(tmp_path / "here") == ALL


def test_an_md5_digest_is_checked_too(tmp_path: Path) -> None:
    """MNIST's publishers give MD5: the right content passes and another does not."""
    source = write(tmp_path / "there")
    right, wrong = ({"a.gz": f"md5:{digest}"} for digest in (hashlib.md5(CONTENTS["a.gz"]).hexdigest(), "0" * 32))
    fetch(right, [source], tmp_path, 5, tmp_path / "here", LARGEST)
    with pytest.raises(NoSourceError, match=r"a\.gz refused: expected md5 0{32}, found"):
        fetch(wrong, [source], tmp_path, 5, tmp_path / "here", LARGEST)


@pytest.mark.parametrize("bad", [b"", CONTENTS["a.gz"][:-1], CONTENTS["b.gz"], CONTENTS["a.gz"] + b"x"])
def test_a_wrong_file_is_refused_and_the_next_source_asked(
    tmp_path: Path, bad: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty, truncated, swapped or too long: it is named with both digests and its size; the others are kept."""
    first, second = write(tmp_path / "first", a=bad), write(tmp_path / "second")
    assert get(tmp_path, [first, second]) == ALL
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        f"not from {first}: a.gz refused: expected {FILES['a.gz'].replace(':', ' ')},"
        f" found {hashlib.sha256(bad).hexdigest()} ({len(bad)} bytes)"
    )
    assert [line.partition(",")[0] for line in lines[1:]] == [
        f"b.gz: 300 bytes from {first}",
        f"c.gz: 250 bytes from {first}",
        f"a.gz: 250 bytes from {second}",
    ]


def test_a_file_without_an_end_is_left_where_it_is_too_large(tmp_path: Path, server: Loopback) -> None:
    """From a URL or a folder: no more than the largest file's bytes are written, long before the time limit."""
    folder, started = write(tmp_path / "there", a=b"x" * 301), time.monotonic()
    message = failure(tmp_path, [server.url("endless"), folder], timeout=30)
    assert time.monotonic() - started < 10  # a third of the limit
    for place in ("endless", "there"):
        assert f"{place}: a.gz refused: expected at most 300 bytes, found more" in message.replace(f" ({folder})", "")
    assert found(tmp_path / "here") == ALL - {("a.gz", CONTENTS["a.gz"])}


def test_files_may_come_from_several_sources(tmp_path: Path, server: Loopback) -> None:
    """What a folder lacks comes from a URL; what it has is not asked for again."""
    assert get(tmp_path, [write(tmp_path / "there", b=None), server.url("good/")]) == ALL
    assert server.requests == ["/good/b.gz"]


@pytest.mark.parametrize("behaviour", ["good", "moved"])
def test_a_url_is_fetched(tmp_path: Path, server: Loopback, behaviour: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All files arrive, with one line a file on stderr and none on stdout."""
    assert get(tmp_path, [server.url(behaviour)]) == ALL
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 3


@pytest.mark.parametrize("behaviour", ["gone", "cut", "silent", "dribble"])
def test_a_source_that_does_not_deliver_is_left_at_once(tmp_path: Path, server: Loopback, behaviour: str) -> None:
    """One request shows it; for all files the next source is asked, and the wait is one limit, not one a file."""
    started = time.monotonic()
    assert get(tmp_path, [server.url(behaviour), server.url("good")], timeout=0.8) == ALL
    assert time.monotonic() - started < 1.8  # one limit, and a second for a busy machine; one a file would be 2.4 s
    assert sum(path.startswith(f"/{behaviour}/") for path in server.requests) == 1


def test_the_limit_is_for_all_files_of_a_source_together(tmp_path: Path, server: Loopback) -> None:
    """Each file takes 0.6 s: at a limit of 1 s one is kept and the rest comes from the next source."""
    assert get(tmp_path, [server.url("slow"), server.url("good")], timeout=1) == ALL
    assert server.requests == ["/slow/a.gz", "/slow/b.gz", "/good/b.gz", "/good/c.gz"]


@pytest.mark.parametrize("behaviour", ["wrong", "half", "cut", "gone", "dribble"])
def test_no_part_of_a_file_remains(tmp_path: Path, server: Loopback, behaviour: str) -> None:
    """A log-in page, half a file, a cut or endless answer: the destination stays empty, hidden files included."""
    failure(tmp_path, [server.url(behaviour)], timeout=0.3)
    assert found(tmp_path / "here") == set()


def test_one_error_tells_all_that_was_tried(tmp_path: Path, server: Loopback) -> None:
    """Every source with its reason, in order, in one line, and the files that are missing."""
    bad = write(tmp_path / "bad", a=b"bad", c=None)
    message = failure(tmp_path, [str(tmp_path / "nowhere"), bad, server.url("gone"), server.url("silent")], timeout=0.3)
    assert message == (
        f"no source serves a.gz, c.gz; tried: {tmp_path}/nowhere: no such folder;"
        f" {bad}: a.gz refused: expected {FILES['a.gz'].replace(':', ' ')},"
        f" found {hashlib.sha256(b'bad').hexdigest()} (3 bytes); {bad}: c.gz is not there;"
        f" {server.url('gone')}: a.gz: HTTP status 404;"
        f" {server.url('silent')}: a.gz: not complete at the time limit, 0 bytes came"
    )


def test_no_sources_is_an_error_too(tmp_path: Path) -> None:
    """An empty list is named as such."""
    assert failure(tmp_path, []).endswith("tried: nothing, the list of sources is empty")


def test_credentials_come_from_netrc_and_are_never_shown(
    tmp_path: Path, server: Loopback, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user name and password in ~/.netrc open the source; neither is printed, in success or in failure."""
    assert "HTTP status 401" in failure(tmp_path / "before", [server.url("members")])
    user, password = USER_INFO.split(":")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login {user} password {password}\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert get(tmp_path, [server.url("members")]) == ALL
    assert reachable(list(FILES), [server.url("members")], tmp_path, timeout=5)
    message = failure(tmp_path / "again", [server.url(b) for b in ("gone", "cut", "wrong")])
    printed = message + "".join(capsys.readouterr())
    assert "127.0.0.1" in printed
    assert not [word for word in USER_INFO.split(":") if word in printed]


def test_a_password_in_a_url_is_never_shown(
    tmp_path: Path, server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """params.yaml takes none; where one comes all the same it is not printed."""
    message = failure(tmp_path, [server.url(b, USER_INFO) for b in ("gone", "cut", "wrong")])
    assert not [word for word in USER_INFO.split(":") if word in message + "".join(capsys.readouterr())]


def test_a_url_that_cannot_be_parsed_is_refused_unseen(tmp_path: Path) -> None:
    """A slash in a password makes the URL ambiguous: the error says which source it is and does not repeat it."""
    with pytest.raises(ValueError, match=r"^source 2 is no valid URL; write / and @") as caught:
        get(tmp_path, ["there", "https://reader:open/sesame@example.org/data"])
    assert "sesame" not in str(caught.value)


def test_another_kind_of_source_is_refused(tmp_path: Path) -> None:
    """A file: or s3: URL is neither a folder nor http."""
    with pytest.raises(ValueError, match=r"source 1 is neither a folder nor an http.* URL: it begins with file://"):
        get(tmp_path, ["file:///data"])


def test_a_full_or_closed_destination_is_not_the_sources_fault(tmp_path: Path) -> None:
    """An error in writing ends the fetch as it is; no other source would help."""
    (tmp_path / "here").write_text("a file where the folder should be")
    with pytest.raises(FileExistsError):
        get(tmp_path, [write(tmp_path / "there")])


def test_folders_alone_need_no_http(tmp_path: Path) -> None:
    """As long as folders serve, requests and tqdm are not imported; the first URL imports them."""
    source = write(tmp_path / "there")
    code = (
        "import sys; from pathlib import Path; from softmax_regression.download.sources import fetch\n"
        f"def loaded(sources): fetch({FILES}, sources, Path(), 1, Path({str(tmp_path / 'here')!r}), {LARGEST});"
        " print('requests' in sys.modules, 'tqdm' in sys.modules)\n"
        f"loaded([{source!r}]); loaded(['http://127.0.0.1:9/', {source!r}])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False", "True", "True"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], False),
        (["nowhere", "empty"], False),
        (["nowhere", "corrupt"], True),
        (["http:gone"], False),
        (["nowhere", "http:gone", "http:silent", "http:good"], True),
        (["http:silent", "http:silent", "http:dribble_header"], False),
    ],
)
def test_reachable_is_quick_and_asks_no_more_than_whether_anything_is_there(
    tmp_path: Path, server: Loopback, sources: list[str], expected: bool
) -> None:
    """A folder with any of the files or a URL that answers will do, even if the content turns out wrong."""
    write(tmp_path / "corrupt", a=None, b=b"", c=None)
    (tmp_path / "empty").mkdir()
    places = [server.url(s.removeprefix("http:")) if s.startswith("http:") else s for s in sources]
    started = time.monotonic()
    assert reachable(list(FILES), places, tmp_path, timeout=0.8) is expected
    assert time.monotonic() - started < 1.8  # one limit, and a second for a busy machine; one a URL would be 2.4 s
