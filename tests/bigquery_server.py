"""A local server that speaks BigQuery's protocol, in an environment of its own, for as long as tests run."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

ENVIRONMENT = Path(os.environ.get("GATECAST_BIGQUERY_ENV", Path(__file__).parents[1] / ".bigquery"))
PROJECT = "proj"
EXTENSIONS = "from duckdb_extensions import import_extension as i\nfor e in ('icu', 'ducklake', 'spatial'): i(e)"


@dataclass(frozen=True)
class Server:
    """Where it listens."""

    port: int
    grpc_port: int

    @property
    def environment(self):
        """The variables that lead clients to it."""
        return {
            "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{self.port}",
            "BIGQUERY_EMULATOR_GRPC_HOST": f"127.0.0.1:{self.grpc_port}",
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }

    def dataset(self, monkeypatch):
        """Lead clients here; gives the URL of a new data set."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        name = f"test_{uuid4().hex}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/bigquery/v2/projects/{PROJECT}/datasets",
            json.dumps({"datasetReference": {"projectId": PROJECT, "datasetId": name}}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=20).close()
        return f"bigquery://{PROJECT}/{name}"


def missing():
    """Why there is no server, or nothing."""
    if (ENVIRONMENT / "bin" / "local-bigquery").exists():
        return ""
    return f"no BigQuery server in {ENVIRONMENT.name}/: `make bigquery` makes it where there is a Python 3.13"


def free_ports(count):
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running(folder):
    """A server that keeps its data in a folder, stopped at the end."""
    binaries, home = ENVIRONMENT / "bin", {**os.environ, "HOME": str(folder)}
    subprocess.run([binaries / "python", "-c", EXTENSIONS], env=home, check=True, timeout=120)
    server = Server(*free_ports(2))
    (folder / "data").mkdir()
    command = [binaries / "local-bigquery", "--host", "127.0.0.1", "--port", str(server.port)]
    command += ["--grpc-port", str(server.grpc_port), "--data-dir", folder / "data", "--project", PROJECT]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=home, stdout=log, stderr=log)
        try:
            wait_for(server, process, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for(server, process, log):
    """Until it answers; at once if it is broken."""
    address = f"http://127.0.0.1:{server.port}/bigquery/v2/projects/{PROJECT}/datasets"
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"the BigQuery server answers {error.code}: {log.read_text()[-2000:]}") from None
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the BigQuery server did not start: {log.read_text()[-2000:]}")
