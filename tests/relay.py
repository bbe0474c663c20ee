"""Python for those who start it by hundreds: what stands on the command line is run by a fork of a process that waits.

    python -I -S relay.py SOCKET -m MODULE ...
    python -I -S relay.py SOCKET -c CODE ...

The process behind the socket is that of `forkserver.py`; behind SOCKET+ is its second one, which is asked first for the
commands of gradcheck.  It runs the arguments with the files, the folder and the environment of this process, which hands on
the signals that it gets, and ends as the fork ends.  Where both say no, or are not there, this process becomes an ordinary
Python with these arguments.

It starts in a hundredth of a second: nothing of the standard library is imported here.
"""

import _signal
import _socket
import marshal
import os
import sys

FORWARDED = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2)


def ask(server, arguments):
    """How the fork has ended, as a number of `subprocess`; None where there was none."""
    try:
        files = [0, 1, 2, os.open(".", os.O_RDONLY)]
        if any(map(os.isatty, files)):
            return None
        with open("/proc/self/limits", "rb") as file:
            limits = file.read()
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.connect(server)
    except OSError:  # a stream that is closed, a folder that is gone, a server that has ended
        return None
    mask = os.umask(0)
    os.umask(mask)
    asked = (arguments, dict(os.environb), mask, os.getpgrp(), os.getsid(0), os.geteuid(), limits)
    message = marshal.dumps(asked)

    def forward(number, frame):
        try:
            connection.send(bytes([number]))
        except OSError:  # it has ended
            pass

    usual = [(number, _signal.getsignal(number)) for number in FORWARDED]
    for number, handler in usual:
        if handler != _signal.SIG_IGN:
            _signal.signal(number, forward)
    handed = b"".join(file.to_bytes(4, sys.byteorder) for file in files)
    connection.sendmsg([len(message).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handed)])
    while message:
        message = message[connection.send(message) :]
    answer = b""
    while not answer.endswith(b"\n"):
        if not (more := connection.recv(100)):
            break
        answer += more
    if answer.endswith(b"\n") and answer != b"no\n":
        return int(answer)
    for number, handler in usual:
        _signal.signal(number, handler)
    if answer != b"no\n":  # amid a command: it cannot be run once more
        return 255
    return None


def main():
    server, *arguments = sys.argv[1:]
    ours = arguments[:1] == ["-m"] and arguments[1:] and arguments[1].partition(".")[0] == "gradcheck"
    status = ask(server + "+", arguments) if ours else None
    if status is None:
        status = ask(server, arguments)
    if status is None:
        os.execv(sys.executable, [sys.executable, *arguments])
    if status < 0:
        _signal.signal(-status, _signal.SIG_DFL) if -status not in (_signal.SIGKILL, _signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main()
