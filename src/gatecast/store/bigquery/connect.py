"""Clients of BigQuery's two services, found as Google's own tools find them."""

import os

import google.auth
import grpc
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from gatecast.errors import StoreError, UsageError

EMULATOR = "BIGQUERY_EMULATOR_HOST"
GRPC_EMULATOR = "BIGQUERY_EMULATOR_GRPC_HOST"
SCOPE = "https://www.googleapis.com/auth/bigquery"
LOGIN = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"


def connect(project: str | None) -> tuple[bigquery.Client, BigQueryReadClient | None]:
    """The client for jobs and tables, and the one for streams of rows (None: an emulator without one).

    `BIGQUERY_EMULATOR_HOST` and `BIGQUERY_EMULATOR_GRPC_HOST` (host:port of its gRPC side)
    lead to a local server, and no credentials are asked for then.

    Raises:
        StoreError: there are no credentials.
        UsageError: no project is named anywhere.
    """
    host = os.environ.get(EMULATOR)
    if host:
        project = project or os.environ.get("GOOGLE_CLOUD_PROJECT")
        endpoint = {"api_endpoint": host if "://" in host else f"http://{host}"}  # the client takes it verbatim
        known = _project(project)
        anyone = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return bigquery.Client(project=known, credentials=anyone, client_options=endpoint), _local()
    try:
        credentials, default = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        where = f" at {file}, which GOOGLE_APPLICATION_CREDENTIALS names ({error.args[0]})" if file else ""
        raise StoreError(f"no Google credentials were found{where}: {LOGIN}") from None
    client = bigquery.Client(project=_project(project or default), credentials=credentials)
    return client, BigQueryReadClient(credentials=credentials)  # type: ignore[no-untyped-call]


def _project(project: str | None) -> str:
    if not project:
        raise UsageError("say which project pays: bigquery://PROJECT/DATASET, or set GOOGLE_CLOUD_PROJECT")
    return project


def _local() -> BigQueryReadClient | None:
    host = os.environ.get(GRPC_EMULATOR, "").rpartition("//")[2]
    if not host:
        return None
    channel = grpc.insecure_channel(host, options=[("grpc.max_receive_message_length", -1)])
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))  # type: ignore[no-untyped-call]
