"""Google's errors as the one sentence that helps: which role, which command, which option."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core.exceptions import GoogleAPIError, RetryError
from google.auth.exceptions import GoogleAuthError

from gatecast.errors import StoreError
from gatecast.store.bigquery.connect import LOGIN

ROLES = {
    "bigquery.jobs.create": "roles/bigquery.jobUser on the project",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser on the project",
    "bigquery.tables.getData": "roles/bigquery.dataViewer on the data set",
    "bigquery.tables.get": "roles/bigquery.dataViewer on the data set",
    "bigquery.tables.list": "roles/bigquery.dataViewer on the data set",
    "bigquery.datasets.get": "roles/bigquery.dataViewer on the data set",
    "bigquery.tables.create": "roles/bigquery.dataEditor on the data set written to",
    "bigquery.tables.update": "roles/bigquery.dataEditor on the data set written to",
    "bigquery.tables.updateData": "roles/bigquery.dataEditor on the data set written to",
    "bigquery.tables.delete": "roles/bigquery.dataEditor on the data set written to",
}
"""The least role that holds each permission a job here can lack."""

ADVICE = {
    "bytesBilledLimitExceeded": "narrow the query with --since, or allow more with --max-bytes",
    "quotaExceeded": "wait, or ask for a higher quota in the Google Cloud console",
    "rateLimitExceeded": "wait a minute and run it again",
    "responseTooLarge": "aggregate more, or read fewer rows with --since",
    "billingNotEnabled": "enable billing for the project",
    "authError": LOGIN,
    "resourcesExceeded": "read fewer rows with --since",
}


@contextmanager
def translated(where: str, *, writing: bool = False) -> Iterator[None]:
    """Errors of Google's libraries, and of the network under them, as StoreError."""
    try:
        yield
    except GoogleAuthError as error:
        raise StoreError(f"{where}: Google refused the credentials ({_first(error)}): {LOGIN}") from None
    except (RetryError, requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        cause = getattr(error, "cause", None) or error
        raise StoreError(f"{where}: BigQuery cannot be reached ({_first(cause)}); is the network up?") from None
    except GoogleAPIError as error:
        raise StoreError(f"{where}: {sentence(error, writing=writing)}") from None


def reason(error: Exception) -> str:
    """Google's own word for what went wrong; several reasons share an exception class."""
    return str(_listed(error).get("reason", ""))


def sentence(error: Exception, *, writing: bool = False) -> str:
    """What Google said, and what to do about it; a permission without a name is the one that the work needs."""
    said, why = _first(error), reason(error)
    if why == "accessNotConfigured" or "SERVICE_DISABLED" in str(error) or "has not been used in project" in said:
        return f"the BigQuery API is not enabled: run `gcloud services enable {_service(str(error))}`"
    permission = re.search(r"bigquery\.\w+\.\w+", said)
    if permission and permission[0] in ROLES:
        return f"{said.rstrip('.')}: ask for {ROLES[permission[0]]}"
    if why in ADVICE:
        return f"{said.rstrip('.')}: {ADVICE[why]}"
    if why != "accessDenied":
        return said
    needed = "bigquery.tables.updateData" if writing else "bigquery.tables.getData"
    return f"{said.rstrip('.')}: ask for {ROLES['bigquery.jobs.create' if 'Denied: Project' in said else needed]}"


def _service(text: str) -> str:
    return "bigquerystorage.googleapis.com" if "bigquerystorage" in text else "bigquery.googleapis.com"


def _listed(error: Exception) -> Mapping[str, Any]:
    """The first of the errors that Google's answer lists, if it lists any."""
    errors = getattr(error, "errors", None)
    return errors[0] if errors and isinstance(errors[0], dict) else {}


def _first(error: Exception) -> str:
    """The message without the address, the reason again and the job's id, on one line."""
    message = _listed(error).get("message") or getattr(error, "message", None)
    text = str(message or error).split("; reason:")[0].split("\n\n")[0].strip()
    return " ".join(re.sub(r"^(?:GET|POST|PUT|DELETE|PATCH) \S+: ", "", text).split())
