"""No credential survives `redact`, and ordinary text does."""

import pytest

from softmax_regression.redaction import holds_credentials, redact
from softmax_regression.tracking import ui


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:s3cret@host:5000/x", "http://***@host:5000/x"),
        ("postgresql://ann:p@ss@db/mlflow", "postgresql://***@db/mlflow"),
        ("at 'https://token@host', then https://b:c@other", "at 'https://***@host', then https://***@other"),
        ("https://host/file?X-Amz-Signature=abc&part=1", "https://host/file?X-Amz-Signature=***&part=1"),
        ("https://host/file?name=a&access_token=abc#top", "https://host/file?name=a&access_token=***#top"),
        ("https://host/file?sv=2024&sig=abc%2F", "https://host/file?sv=***&sig=***"),
        ("https://host/file?abc", "https://host/file?***"),
        ("https://host/file;auth=abc;type=a", "https://host/file;auth=***;type=***"),
        ("https://host/back#access_token=abc&state=1", "https://host/back#access_token=***&state=***"),
        ("at https://bob:p/w@host:1/x, say", "at https://***@host:1/x, say"),
        ("https://bob:p?w#@x@host/data", "https://***@host/data"),
    ],
)
def test_credentials_in_urls_are_hidden(text: str, expected: str) -> None:
    """Of a URL, even one that is malformed, stay scheme, host, port, path and arguments known to be harmless."""
    assert redact(text) == expected


def test_secret_variables_are_hidden_wherever_their_values_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of variables with secret names are hidden as they are and percent-encoded."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/def+ghi")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open sesame")
    text = "key abc/def+ghi or abc%2Fdef%2Bghi, password: open sesame, open%20sesame"
    assert redact(text) == "key *** or ***, password: ***, ***"


def test_a_password_in_a_variable_that_is_a_url_is_hidden_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password of MLFLOW_TRACKING_URI is a secret also outside the URI, decoded or not."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:geheim%21@host")
    assert redact("login ann/geheim! failed (geheim%21)") == "login ann/*** failed (***)"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("bob:open sesame@host", "bob:***@host"),
        ("https://bob:open sesame@host", "https://***@host"),
        ("https://bob:open 'sesame@host", "https://***@host"),
    ],
)
def test_the_password_of_a_malformed_variable_is_hidden(
    monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
) -> None:
    """Without a scheme, or with blanks and quotes, what stands between the first colon and the last @ is a secret."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert redact(f"cannot open {uri}!") == f"cannot open {expected}!"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://host:8080/data/", False),
        ("../shared/a@b", False),
        ("https://host/data?version=2", False),
        ("https://ann@host/data", True),
        ("https://ann:my secret@host/data", True),
        ("https://host/data?X-Amz-Signature=abc", True),
        ("https://host/data;auth=abc", True),
    ],
)
def test_a_url_that_holds_credentials_is_known(source: str, expected: bool) -> None:
    """It is one of which `redact` would leave less; a folder is none, whatever its name."""
    assert holds_credentials(source) is expected


def test_ordinary_text_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that only resemble secrets, short values and plain addresses are left alone."""
    monkeypatch.setenv("MAX_TOKENS", "100000")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "disabled")
    monkeypatch.setenv("USE_TOKEN", "true")
    monkeypatch.setenv("LIBRARIES", "/usr/lib:/opt/python@3/lib")
    text = "100000 disabled true, http://host:5000/a@b, ann@host, 3 @ 4, /opt/python"
    assert redact(text) == text
    code = 'f"http://{host}:{port}"  # (?<=://)[^?]*, see https://host/x?'
    assert redact(code) == code
    assert redact(link := ui.link("http://127.0.0.1:5000", "7")) == link
