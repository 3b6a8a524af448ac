"""How long to wait for a tracking server, with which credentials, and what to say when it fails."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from softmax_regression.files import no_room
from softmax_regression.redaction import redact

_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
# MLflow's own settings. Left alone it asks an unreachable server again for minutes, unpickles models of other people,
# reports its use to its makers, and prints a link for every run that ends. Times in seconds.
_SETTINGS = {
    _RETRIES: "1",
    _TIMEOUT: "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}
_IMPATIENT = {_RETRIES: "0", _TIMEOUT: "4"}
_ONCE = {_RETRIES: "0", _TIMEOUT: "60"}


class StoreUnavailableError(RuntimeError):
    """The store did not do what it was asked; the message says why in one line, without credentials."""


def settle_environment() -> None:
    """Set MLflow's settings in the environment, before it is imported; what a person has set stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def impatience() -> AbstractContextManager[None]:
    """Ask a server once and for 4 s only, unless a person has set other times."""
    return _asking(_IMPATIENT)


def once() -> AbstractContextManager[None]:
    """Ask a server once, for a minute: to create something again, as a slow server is still at it, makes two."""
    return _asking(_ONCE)


@contextmanager
def _asking(settings: Mapping[str, str]) -> Iterator[None]:
    changed = {name: value for name, value in settings.items() if os.environ.get(name) == _SETTINGS[name]}
    os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.update({name: _SETTINGS[name] for name in changed})


def without_credentials(uri: str) -> str:
    """Return a server's URI without `user:password@`, which go into the variables that MLflow reads them from.

    A URI is shown and stored in many places; these variables are not. Raises ValueError for one that is no valid URL.
    """
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:  # not repeated: what could not be parsed may be a password
        raise ValueError(
            "MLFLOW_TRACKING_URI is no valid URL; write / and @ in a user name or password as %2F and %40"
        ) from None
    if parts.scheme not in ("http", "https") or parts.username is None:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    if replaced := os.environ.get("MLFLOW_TRACKING_PASSWORD"):
        os.environ["REPLACED_TRACKING_PASSWORD"] = replaced  # `redact` must still hide it
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def explain(uri: str, error: Exception) -> str:
    """Return one line for a failed call: what was asked, why it failed, what to do."""
    status = _status(error)
    cause = innermost(error)
    reason = (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).splitlines()[0][:300]
    if status == 401:
        what = f"the MLflow server at {uri} refuses the credentials (401)"
        todo = "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    elif status == 403:
        body = reason.partition("Response body: ")[2].strip("'")
        what = f"the MLflow server at {uri} does not allow this (403): {body or reason}"
        todo = "ask its admin for the permission, or to add this host to its --allowed-hosts"
    elif uri.startswith("http"):
        answered = not isinstance(cause, OSError) or hasattr(cause, "response")
        what = f"the MLflow server at {uri} {'refuses a call' if answered else 'does not answer'}: {reason}"
        todo = "see that it runs, or unset MLFLOW_TRACKING_URI to record in this project's mlflow.db"
    elif "database schema" in reason:
        what = f"the MLflow store {uri} was written by another version of MLflow"
        todo = f"back it up, then run `mlflow db upgrade {uri}`"
    else:
        what = f"the MLflow store {uri} does not take {getattr(cause, 'filename2', None) or 'a call'}: "
        full = no_room(cause, Path(uri.removeprefix("sqlite:///")).parent) if uri.startswith("sqlite") else ""
        return redact(what + (full or f"{reason}; see who else has it open, and its rights"))
    return redact(f"{what}; {todo}")


def _status(error: Exception) -> int:
    """Return the HTTP status behind an error of MLflow's or of requests', or 0."""
    if hasattr(error, "get_http_status_code"):
        return int(error.get_http_status_code())
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def innermost(error: BaseException) -> BaseException:
    """Return the error that caused all others: "Connection refused" is five layers down."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
