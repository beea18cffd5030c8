"""rmcp, the official Rust SDK (3.9.0), in both eras, with its own OAuth, which begins with a GET; the client is tests/fixtures/rmcp_client."""

import os
from pathlib import Path

import report
import sdk
from bridge import ROOT
from sdk_program import ProgramSdk

CLIENT = Path(os.environ.get("RMCP_CLIENT", ROOT / "target/rmcp/debug/rmcp-client"))
STATELESS = ProgramSdk("rmcp 3.9.0, stateless", [CLIENT], True, ["2026-07-28"])
SESSIONS = ProgramSdk("rmcp 3.9.0, sessions", [CLIENT], False, sdk.SESSION_ERA)


def run():
    """The story in each era."""
    report.true(CLIENT.exists(), f"expected {CLIENT}, which tests/run builds")
    for one in (STATELESS, SESSIONS):
        sdk.Story(one).run()


if __name__ == "__main__":
    report.main(run)
