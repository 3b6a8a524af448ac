"""Keep credentials out of everything that is recorded or printed.

Of a URL only what is known to be harmless stays: scheme, host, port, path, fragment, and a few arguments by name.
"""

import os
import re
from urllib.parse import quote, unquote

HIDDEN = "***"

_URL = re.compile(r"(?<=[A-Za-z0-9]://)[^\s'\"<>]+")
_HOST = re.compile(r"(\[[^\]@]*\]|[^:@]*)(:\d*)?")
_ARGUMENT = re.compile(r"([?&;#])([^?&;#=]*=)?([^?&;#]*)")
_HARMLESS = frozenset({"name", "page", "part", "path", "run_uuid", "version", "viewStateShareKey", "workflowType"})
_USER_INFO = re.compile(r"(?<=://)[^/\s'\"<>]*(?=@)")
# TOKENIZERS_PARALLELISM and MAX_TOKENS hold no secret, and hiding their values would hide plain numbers.
_SECRET_NAME = re.compile(r"(?i)PASSWORD|PASSWD|PASSPHRASE|TOKEN(?!IZ|S)|SECRET|CREDENTIAL|(ACCESS|API|PRIVATE)_?KEY")
_URL_NAME = re.compile(r"(?i)UR[IL]$")
_SHORTEST_SECRET = 6  # shorter values ("true", "0") are no secrets, and they occur in ordinary text


def redact(text: str) -> str:
    """Return `text` without credentials; what is hidden becomes `***`.

    Hidden are `user:password@` in any URL, also where the password holds / or ?, the values of its arguments (after
    ?, &, ; and #) but for a few known ones, the values of environment variables whose names speak of a secret
    (`*_PASSWORD`, `*_TOKEN`, `AWS_SECRET_ACCESS_KEY`, ...), and the passwords inside environment variables that are
    URLs, such as `MLFLOW_TRACKING_URI`.
    """
    for secret in _secrets():
        text = text.replace(secret, HIDDEN)
    return _URL.sub(lambda url: _harmless(url[0]), text)


def holds_credentials(source: str) -> bool:
    """Return whether `source`, a URL, holds what `redact` hides of one; a path without `://` is none."""
    rest = source.partition("://")[2]
    return _harmless(rest) != rest


def _harmless(url: str) -> str:
    """Return what may be shown of a URL, given and returned without scheme and `://`."""
    host = re.split("[/?#]", url, maxsplit=1)[0]
    # What stands before the first / of "bob:p/w@host" is no host with a port: all up to the last @ may be a password.
    if "@" in url and not _HOST.fullmatch(host):
        url = f"{HIDDEN}@{url.rpartition('@')[2]}"
    return _ARGUMENT.sub(_argument, url)


def _argument(found: re.Match[str]) -> str:
    mark, name, value = found[1], found[2] or "", found[3]
    bare = mark in ";#" and not name  # an anchor in a page, or the end of a sentence or a command
    if bare or name.removesuffix("=") in _HARMLESS or not re.search(r"\w", value):
        return found[0]
    return f"{mark}{name}{HIDDEN}"


def _secrets() -> list[str]:
    """Return the secret values of this process's environment, as they are and percent-encoded, longest first."""
    values = set()
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name):
            values.add(value)
        found = _USER_INFO.findall(value)
        if _URL_NAME.search(name):  # malformed ones, too: "bob:secret@host", or blanks in the password
            found.append((value.partition("://")[2] or value).rpartition("@")[0])
        values |= {user_info.partition(":")[2] for user_info in found}
    values |= {form(value) for value in values for form in (unquote, lambda value: quote(value, safe=""))}
    return sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
