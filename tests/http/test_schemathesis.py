"""Requests made up from /v1/openapi.json, good and bad ones: the server does what it says there."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path

import pytest

from realtime.http.documents.schemas.ride import AGENT, DRIVER, RIDER, TRIP_ID
from tests.conftest import Cluster, mint
from tests.servers import ROOT

WITHIN_S = 280
"""As many requests as it makes take a while where others need the processors, too."""
SETTINGS = """\
[checks.positive_data_acceptance]
# A good request may be about a trip that has moved on (412), or that the caller knows (304).
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 429]
"""
CALLERS: Mapping[str, Mapping[str, str]] = {
    # One caller, so that what it makes is there for what it asks next.
    "coverage,stateful": {"service": AGENT.user_id},
    # Several in turn, each of whom may do other things.
    "fuzzing": {
        "rider": RIDER.user_id,
        "driver": DRIVER.user_id,
        "agent": AGENT.user_id,
        "viewer": "share:somebody",
    },
}
"""Role and user id of who asks, by the ways in which requests are made up."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("phases", CALLERS)
async def test_the_server_does_what_its_document_says(
    phases: str, cluster: Cluster, tmp_path: Path
) -> None:
    tokens = [mint(role, user_id, trips=[TRIP_ID]) for role, user_id in CALLERS[phases].items()]
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={settings}",
        "run",
        f"{cluster.first}/v1/openapi.json",
        "--checks=all",
        f"--phases={phases}",
        "--max-examples=3",
        "--generation-deterministic",
        "--no-shrink",
        "--no-color",
        cwd=tmp_path,
        env=os.environ
        | {
            "CALLER_TOKENS": " ".join(tokens),
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.http.schemathesis_hooks",
        },
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()
