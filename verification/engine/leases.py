"""Who computes what: a file a job says that its owner is at it, so that two sweeps on one folder share the work.

A lease is a file that only one process can create (``O_EXCL``), named by job and generation; the highest generation
holds. Who finds a lease whose owner is gone creates the next generation, which again only one can: nobody ever deletes
what another may have just made. An owner of this machine is gone when its process is; one of another when its file,
which it touches all the time, has not changed for as long as it was watched: clocks of two machines are never compared.
"""

import contextlib
import functools
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Iterable

from ntk_localsgd.errors import StorageError
from ntk_localsgd.stored import is_alive

__all__ = ["EXPIRY", "Leases"]

#: Seconds without a sign of life after which another machine's lease counts as left, and between two signs.
EXPIRY, _BEAT = 60.0, 5.0


class Leases:
    """Leases of one sweep on jobs in a folder, by the names of their files. Use as a context.

    ``marker`` is a file that is there as long as the sweep goes on: workers that see it share the folder, and stop when
    they see it no more.
    """

    def __init__(self, folder: pathlib.Path, *, expiry: float = EXPIRY) -> None:
        self.folder = folder.absolute() / "leases"
        self.marker = self.folder / f"{uuid.uuid4().hex[:12]}.sweep"
        self._expiry = expiry
        self._held: dict[str, int] = {}
        self._watched: dict[str, tuple[int, float]] = {}
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Leases":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob("*.sweep"):
                with contextlib.suppress(FileNotFoundError):
                    if self._is_gone(path):
                        path.unlink()
            self.marker.write_text(_me())
        except OSError as error:
            raise _full(self.folder, error) from error
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._over.set()
        self._beating.join()
        self.release(list(self._held))
        self._sweep_up()

    def stop(self) -> None:
        """Tell the workers to begin no further job."""
        self.marker.unlink(missing_ok=True)

    def acquire(self, names: Iterable[str]) -> set[str]:
        """Those of the names whose lease is now held here; the others are somebody else's.

        Raises
        ------
        StorageError
            If the disk is full.
        """
        wanted = list(names)
        created = {name: 0 for name in wanted if self._create(name, 0)}
        found = self._generations()
        for name in wanted:
            highest = max(found.get(name, ()), default=-1)
            if name in created and highest > 0:  # somebody's who has taken it over
                self._path(name, created.pop(name)).unlink(missing_ok=True)
            elif name not in created and highest >= 0:
                left = self._path(name, highest)
                if not self._is_left(left) or not self._create(name, highest + 1):
                    continue
                if self._is_left(left):
                    created[name] = highest + 1
                else:  # meanwhile taken over, given back, and perhaps taken anew from the first generation on
                    self._path(name, highest + 1).unlink(missing_ok=True)
        self._held |= created
        return set(created)

    def release(self, names: Iterable[str]) -> None:
        """Give leases back, those first that were taken over."""
        for name in names:
            if name in self._held:
                for generation in range(self._held.pop(name) + 1):
                    self._path(name, generation).unlink(missing_ok=True)

    def _sweep_up(self) -> None:
        """Delete leases that the dead have left on what is stored by now: nobody asks for these."""
        for name, generations in self._generations().items():
            if (self.folder.parent / f"{name}.nc").exists():
                for path in (self._path(name, generation) for generation in generations):
                    with contextlib.suppress(FileNotFoundError):
                        if self._is_gone(path):
                            path.unlink()

    def _create(self, name: str, generation: int) -> bool:
        path = self._path(name, generation)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        except OSError as error:
            raise _full(self.folder, error) from error
        try:
            os.write(handle, _me().encode())
        except OSError as error:
            path.unlink()
            raise _full(self.folder, error) from error
        finally:
            os.close(handle)
        return True

    def _path(self, name: str, generation: int) -> pathlib.Path:
        return self.folder / f"{name}.{generation}.lease"

    def _generations(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                name, _, generation = entry.name.removesuffix(".lease").rpartition(".")
                if generation.isdigit():
                    found.setdefault(name, []).append(int(generation))
        return found

    def _is_left(self, path: pathlib.Path) -> bool:
        """Whether a lease's owner is known to be gone, or has given no sign for as long as this was watched."""
        try:
            if self._is_gone(path):
                return True
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        before, since = self._watched.setdefault(path.name, (changed, time.monotonic()))
        if changed != before:
            self._watched[path.name] = changed, time.monotonic()
            return False
        return time.monotonic() - since > self._expiry

    @staticmethod
    def _is_gone(path: pathlib.Path) -> bool:
        """Whether the owner was a process of this machine that is there no more."""
        machine, _, process = path.read_text().rpartition(" ")
        pid, _, begun = process.partition("@")
        return machine == _machine() and pid.isdigit() and not (is_alive(int(pid)) and _begun(int(pid)) == begun)

    def _beat(self) -> None:
        while not self._over.wait(min(_BEAT, self._expiry / 4)):
            for name, generation in list(self._held.items()):
                with contextlib.suppress(OSError):
                    os.utime(self._path(name, generation))
            with contextlib.suppress(OSError):
                os.utime(self.marker)


def _full(folder: pathlib.Path, error: OSError) -> StorageError:
    return StorageError(f"{folder} cannot be written ({error.strerror}): room to write is needed.")


def _me() -> str:
    return f"{_machine()} {os.getpid()}@{_begun(os.getpid())}"


@functools.cache
def _machine() -> str:
    """This machine since it was started, and the container, if any, in which its processes are counted."""
    parts = [socket.gethostname().replace(" ", "_")]
    with contextlib.suppress(OSError):
        parts.append(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def _begun(pid: int) -> str:
    """When a process began, in the kernel's ticks: its number may have been given to another since."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
