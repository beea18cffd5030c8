"""A Node program that answers every line of JSON on its standard input with one on its standard output, and ends when the input ends."""

import atexit
import json
import os
import queue
import subprocess
import tempfile
import threading
from pathlib import Path

import report
from bridge import PATIENCE, TOOLS


class Lines:
    """The program of this name beside this file. What it says besides goes to a log that is shown with every failure."""

    def __init__(self, script, first):
        """Starts it with its first line, and waits for the answer, which `answer` then holds."""
        self.script = script
        with open(log_of(script), "a") as log:
            self.process = subprocess.Popen(
                ["node", str(Path(__file__).with_name(script))],
                env={**os.environ, "TEST_TOOLS": str(TOOLS)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )
        self._answers = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        atexit.register(self.close)
        self.answer = self.tell(first)

    def _read(self, stream):
        for line in stream:
            self._answers.put(line)
        self._answers.put(None)

    def tell(self, message):
        """One line, and its answer."""
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self._answers.get(timeout=2 * PATIENCE)
        except (OSError, queue.Empty) as error:
            raise report.Failure(f"{self.script} did not answer {message}: {error!r}, exit code {self.process.poll()}") from None
        if line is None:
            raise report.Failure(f"{self.script} ended instead of answering {message}")
        answer = json.loads(line)
        if "failed" in answer:
            raise report.Failure(f"{self.script}: {message}: {answer['failed']}")
        return answer

    def close(self):
        """Its input ends, and so does it."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


_logs = {}


def log_of(script):
    """One log for all that run this script; kept when something failed."""
    if script not in _logs:
        handle, _logs[script] = tempfile.mkstemp(prefix=f"mcp-bridge-e2e-{Path(script).stem}-", suffix=".log")
        os.close(handle)
        report.watch_log(f"what {script} said", _logs[script])
        atexit.register(lambda: report.failed or os.unlink(_logs[script]))
    return _logs[script]
