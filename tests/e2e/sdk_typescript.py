"""The official TypeScript SDKs, both generations, the second in each of its modes, against the release binary."""

import json
from pathlib import Path

import report
import sdk
from bridge import TOOLS
from sdk_program import ProgramSdk

SCRIPT = Path(__file__).with_name("sdk_typescript.mjs")
PACKAGES = {"client": "2.4.0", "sdk": "1.32.2"}
STATELESS = ProgramSdk("TypeScript SDK 2.4.0, stateless", ["node", SCRIPT, "v2"], True, ["2026-07-28"])
SESSIONS = ProgramSdk("TypeScript SDK 2.4.0, sessions", ["node", SCRIPT, "v2"], False, sdk.SESSION_ERA)
FIRST = ProgramSdk("TypeScript SDK 1.32.2", ["node", SCRIPT, "v1"], False, sdk.SESSION_ERA)


def run():
    """The story, three times."""
    for name, version in PACKAGES.items():
        installed = json.loads((TOOLS / f"npm/node_modules/@modelcontextprotocol/{name}/package.json").read_text())["version"]
        report.equal(installed, version, f"installed version of @modelcontextprotocol/{name}")
    for one in (STATELESS, SESSIONS, FIRST):
        sdk.Story(one).run()


if __name__ == "__main__":
    report.main(run)
