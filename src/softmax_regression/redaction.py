"""Keep credentials out of everything that is recorded or printed."""

import os
import re
from urllib.parse import quote, unquote

HIDDEN = "***"

_USER_INFO = re.compile(r"(?<=://)[^/\s'\"<>]*@")
_SECRET_ARGUMENT = re.compile(
    r"(?i)([?&][\w.-]*(?:password|token|secret|signature|credential|key)[\w.-]*=)[^&\s'\"<>#]+"
)
# TOKENIZERS_PARALLELISM and MAX_TOKENS hold no secret, and hiding their values would hide plain numbers.
_SECRET_NAME = re.compile(r"(?i)PASSWORD|PASSWD|PASSPHRASE|TOKEN(?!IZ|S)|SECRET|CREDENTIAL|(ACCESS|API|PRIVATE)_?KEY")
_SHORTEST_SECRET = 6  # shorter values ("true", "0") are no secrets, and they occur in ordinary text


def redact(text: str) -> str:
    """Return `text` without credentials; what is hidden becomes `***`.

    Hidden are `user:password@` in any URL, URL arguments such as `token=...`, the values of environment
    variables whose names speak of a secret (`*_PASSWORD`, `*_TOKEN`, `AWS_SECRET_ACCESS_KEY`, ...), and the
    passwords inside environment variables that are URLs, such as `MLFLOW_TRACKING_URI`.
    """
    for secret in _secrets():
        text = text.replace(secret, HIDDEN)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return _SECRET_ARGUMENT.sub(rf"\1{HIDDEN}", text)


def _secrets() -> list[str]:
    """Return the secret values of this process's environment, as they are and percent-encoded, longest first."""
    values = set()
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name):
            values.add(value)
        for user_info in _USER_INFO.findall(value):
            values.add(user_info.removesuffix("@").partition(":")[2])
    values |= {form(value) for value in values for form in (unquote, lambda value: quote(value, safe=""))}
    return sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
