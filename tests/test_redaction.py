"""No credential survives `redact`, and ordinary text does."""

import pytest

from softmax_regression.redaction import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ann:s3cret@host:5000/x", "http://***@host:5000/x"),
        ("postgresql://ann:p@ss@db/mlflow", "postgresql://***@db/mlflow"),
        ("at 'https://token@host', then https://b:c@other", "at 'https://***@host', then https://***@other"),
        ("https://host/file?X-Amz-Signature=abc&part=1", "https://host/file?X-Amz-Signature=***&part=1"),
        ("https://host/file?name=a&access_token=abc#top", "https://host/file?name=a&access_token=***#top"),
    ],
)
def test_credentials_in_urls_are_hidden(text: str, expected: str) -> None:
    """User names, passwords and secret arguments of every URL in a text become asterisks."""
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


def test_ordinary_text_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that only resemble secrets, short values and plain addresses are left alone."""
    monkeypatch.setenv("MAX_TOKENS", "100000")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "disabled")
    monkeypatch.setenv("USE_TOKEN", "true")
    text = "100000 disabled true, http://host:5000/a@b, ann@host, 3 @ 4"
    assert redact(text) == text
