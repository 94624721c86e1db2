"""Processes that a benchmark starts: pinned, measured from outside, ended by pid."""

import contextlib
import os
import signal
import socket
import subprocess
import time


def free_port():
    """A loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server in a process group of its own, on one core."""

    def __init__(self, argv, core, directory, log, env=None):
        self.argv = argv
        self.log = log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                argv,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    def tree(self):
        """The process and its descendants: nginx has a master and a worker, envoy a wrapper."""
        found, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(FileNotFoundError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        todo.extend(int(c) for c in children.read().split())
        return found

    def cpu_seconds(self):
        """User and system time of every thread, ended ones included, with the scheduler's own resolution.

        `utime + stime` of /proc/PID/stat is the same sum, cut to ticks of 10 ms; the process's CPU clock is not.
        """
        total = 0.0
        for pid in self.tree():
            # clock_getcpuclockid(3): the process-wide clock of another process.
            with contextlib.suppress(OSError):
                total += time.clock_gettime((~pid << 3) | 2)
        return total

    def ticks(self):
        """User and system time in ticks: coarse, but it tells how the sum of `cpu_seconds` is made up."""
        user = system = 0
        for pid in self.tree():
            with contextlib.suppress(FileNotFoundError):
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
                user, system = user + int(fields[11]), system + int(fields[12])
        return user, system

    def rss_bytes(self):
        """Resident memory of the whole tree. Pages that nginx's master shares with its worker count twice."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(FileNotFoundError):
                with open(f"/proc/{pid}/statm") as statm:
                    total += int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total

    def wait_for_port(self, port, deadline=20.0):
        """Returns once something accepts on `port`; raises with the log when the process ends or never does."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if self.child.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
                return
            time.sleep(0.02)
        self.stop()
        with open(self.log, errors="replace") as text:
            raise RuntimeError(f"{self.argv[0]} does not listen on port {port}:\n{text.read()[-3000:]}")

    def stop(self):
        """Ends this process and its descendants, by pid."""
        pids = self.tree()
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(timeout=2)
        for pid in pids:
            # A pid of ours that is gone may not be another's yet: the group is checked first.
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.child.pid:
                    os.kill(pid, signal.SIGKILL)
        self.child.wait()
