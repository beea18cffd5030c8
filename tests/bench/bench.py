"""What the bridge costs: start, memory, calls, idle streams, large answers, beside the same through nginx and mcp-proxy; tokens, beside oidc-provider. See `run`.

Pinned: what is measured runs on core 0, the load and the upstream on core 1. Processor time per call is the figure to trust on a busy machine;
compare within one run only.
"""

import json
import os
import sys

from measure import ROOT, ROUNDS, SECONDS_EACH, SMOKE, prepare, results, summary

import bridge as bridges
import calls
import eras
import flat
import large
import report
import start
import streams
import tokens

PARTS = {"start": start.run, "calls": calls.run, "eras": eras.run, "streams": streams.run, "flat": flat.run, "large": large.run, "tokens": tokens.run}


def main():
    """The parts named on the command line, or all, and the raw figures in target/bench."""
    most_files = prepare()
    names = [name for name in sys.argv[1:] if not name.startswith("--")] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        sys.exit(f"bench: no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    print(
        f"{'SMOKE RUN, the figures mean nothing. ' if SMOKE else ''}{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{ROUNDS} rounds of {SECONDS_EACH:g} s, {bridges.BINARY.name} of {bridges.BINARY.stat().st_size / 1e6:.1f} MB"
    )
    try:
        for name in names:
            PARTS[name](*([most_files] if name == "streams" else []))
        summary()
    except report.Failure as failure:
        report.fail("benchmark", failure, logs=False)
        sys.exit(report.finish())
    finally:
        path = ROOT / "target/bench/results.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(result) + "\n" for result in results))
    print(f"\nraw figures: {path.relative_to(ROOT)}")
    if SMOKE:
        print("ok benchmark: every way answers, every figure is taken")


if __name__ == "__main__":
    main()
