"""The disk below the bridge: what it would hold after a power cut. powercut.c, preloaded, tells what was synced; this puts it in place."""

import os
import shutil
import subprocess
from pathlib import Path

import report

SOURCE = Path(__file__).with_name("powercut.c")


def build(folder):
    """Compiles the preloaded library."""
    library = folder / "powercut.so"
    done = subprocess.run(
        ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"], capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise report.Failure(f"powercut.c does not compile: {done.stderr}")
    return library


class Disk:
    """The files of one bridge, and the second copy with what was synced of them."""

    def __init__(self, library, files, copy):
        self.files, self.copy = files, copy
        self.environment = {"LD_PRELOAD": str(library), "POWERCUT_FROM": str(files), "POWERCUT_TO": str(copy)}
        files.mkdir(mode=0o700)
        copy.mkdir()

    def settle(self):
        """Before a start: everything that is there counts as synced, as after some seconds of rest."""
        shutil.rmtree(self.copy)
        (self.copy / "names").mkdir(parents=True)
        for path in self.files.rglob("*"):
            if path.is_file():
                inode = str(path.stat().st_ino)
                shutil.copy(path, self.copy / inode)
                os.symlink(inode, self.copy / "names" / str(path.relative_to(self.files)).replace("/", "%"))

    def cut(self):
        """After a death: the files become what was synced. Answers whether anything was lost by that."""
        before = self._contents()
        for path in self.files.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for link in (self.copy / "names").iterdir():
            path = self.files / link.name.replace("%", "/")
            if path.name.endswith("-shm"):
                continue  # the index of the log: never synced, made anew
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            synced = self.copy / os.readlink(link)
            path.write_bytes(synced.read_bytes() if synced.exists() else b"")
            path.chmod(0o600)
        return self._contents() != before

    def _contents(self):
        """Path → content, of everything that is meant to last."""
        return {path: path.read_bytes() for path in self.files.rglob("*") if path.is_file() and not path.name.endswith("-shm")}
