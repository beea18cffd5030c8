"""The verdict: what the samples, the statuses and the log say against what is allowed, each allowance with its reason."""

import re
import time
from collections import Counter

import samples

# Lines of level ERROR that may be there, with the reason.
ALLOWED_ERRORS = {
    r"config\.yaml:\d+: nonsense: ": "a reload with a wrong configuration is among the traffic",
    r"the configuration was not reloaded": "and this is what the bridge says of it",
}
# Statuses of 500 and above that may come: (status, kind) → reason. None so far.
ALLOWED_5XX = {}
# How far the lows of resident memory may rise over the second half of the load, in MiB: more than that in an hour is a leak, in two
# minutes it may be that more was in flight.
GROWTH_LONG, GROWTH_SHORT = 4.0, 12.0
# Above the baseline, after everything is over. What was in flight is given back; what stays are memories of a bounded size.
MEMORY_LEFT = 8.0
# Connections to the servers behind that may be left over in the pool, more than at the start; besides one for each question that a
# stateless client left unanswered, for as long as the bridge waits for it (seconds).
KEPT, PARKED = 8, 610


def judge(soak):
    """Adds a violation for everything that is not as it should be."""
    memory(soak)
    back_to_baseline(soak)
    log(soak)
    statuses(soak)


def memory(soak):
    """Growth over the second half of the load, and what is left at the end."""
    load = [one for one in soak.samples if one["phase"] == "load"]
    half = load[len(load) // 2:]
    if len(half) < 6:
        return soak.ledger.violate("judge", "memory", f"only {len(half)} samples in the second half of the load")
    hours = (half[-1]["at"] - half[0]["at"]) / 3600
    allowed = GROWTH_LONG if hours > 0.2 else GROWTH_SHORT
    for key in ("rss", "anonymous"):
        per_hour = samples.slope(half, key)
        soak.say(f"{key}: {per_hour:+.2f} MiB/h over the last {hours * 60:.1f} minutes of load: {per_hour * hours:+.2f} MiB (allowed: {allowed})")
        if per_hour * hours > allowed:
            soak.ledger.violate("judge", "memory", f"{key} grew by {per_hour * hours:.1f} MiB in {hours * 60:.1f} minutes")
    before, after = soak.baseline["rss"], soak.samples[-1]["rss"]
    soak.say(f"RSS at rest: {before:.1f} MiB before the load, {after:.1f} MiB after it (allowed: +{MEMORY_LEFT})")
    if after - before > MEMORY_LEFT:
        soak.ledger.violate("judge", "memory", f"{after - before:.1f} MiB more at rest than before the load")


def back_to_baseline(soak):
    """Descriptors, threads, children and the calls that run in the child nobody harms, after all is over."""
    now, before = soak.samples[-1], soak.baseline
    kept = KEPT + sum(time.monotonic() - at < PARKED for at in soak.abandoned)
    for key, spare in (("descriptors", 2), ("threads", 1), ("children", 0), ("zombies", 0), ("connections", 0), ("calls", 0), ("kept", kept)):
        soak.say(f"{key}: {before[key]} before the load, {now[key]} after it")
        if now[key] > before[key] + spare:
            more = {"descriptors": (before["kinds"], now["kinds"]), "children": (soak.commands, samples.commands(soak.bridge))}.get(key, "")
            soak.ledger.violate("judge", key, f"{before[key]} before the load, {now[key]} after it {more}")


def log(soak):
    """No panic, no ERROR without a reason; the warnings are counted for people."""
    warnings = Counter()
    for number, line in enumerate(soak.bridge.log.read_text(errors="replace").splitlines(), 1):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if "panicked at" in plain or re.search(r"\bpanic", plain, re.I):
            soak.ledger.violate("the log", f"line {number}", plain[:500])
        elif re.search(r"\bERROR\b", plain) and not any(re.search(pattern, plain) for pattern in ALLOWED_ERRORS):
            soak.ledger.violate("the log", f"line {number}", plain[:500])
        elif re.search(r"\bWARN\b", plain):
            warnings[re.sub(r"\d+", "N", re.sub(r'"[^"]*"|^\S+\s+', "…", plain))[:140]] += 1
    soak.say("warnings in the log:" if warnings else "no warnings in the log")
    for text, count in warnings.most_common(20):
        soak.say(f"  {count:6d} × {text}")


def statuses(soak):
    """5xx that nobody expects."""
    for code, kinds in sorted(soak.ledger.statuses.items(), key=str):
        if code is not None and code >= 500:
            for kind, count in kinds.items():
                if (code, kind) not in ALLOWED_5XX:
                    soak.ledger.violate("judge", kind, f"{count} × status {code}")


def summary(soak):
    """What was done, for people."""
    rows = [f"{'what':36} {'ok':>8} {'failed cleanly':>14} {'VIOLATION':>9} {'slowest s':>9}"]
    for kind, outcomes in sorted(soak.ledger.done.items()):
        others = {outcome: count for outcome, count in outcomes.items() if outcome not in ("ok", "failed cleanly", "VIOLATION")}
        slowest = soak.ledger.slowest.get(kind)
        rows.append(
            f"{kind:36} {outcomes['ok']:8d} {outcomes['failed cleanly']:14d} {outcomes['VIOLATION']:9d} "
            f"{f'{slowest:9.2f}' if slowest else '':>9} {others or ''}".rstrip()
        )
    rows.append(f"a revocation was seen after {soak.ledger.slowest['revocation seen']:.3f} s at the latest")
    rows.append("statuses: " + ", ".join(f"{code}: {sum(kinds.values())}" for code, kinds in sorted(soak.ledger.statuses.items(), key=str)))
    rows.append("failed cleanly, why:")
    rows += [f"  {count:6d} × {reason}" for reason, count in soak.ledger.reasons.most_common(25)]
    return "\n".join(rows)
