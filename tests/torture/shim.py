"""Stand in for `python`: hand the command line to the fork server, wait, and end as its child ended.

Started as `python -SEI shim.py SOCKET REAL_PYTHON ARGUMENTS`, in 15 ms; it imports nothing that takes longer. A signal
to the process group reaches the child, too, as it joins the group; where this process is killed, the server kills it.
"""

import os
import signal
import socket
import sys


def main() -> None:
    """Send working folder, process group, arguments, environment and the three open files; take the exit status."""
    server, real, *arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-m", "-c")):
        os.execv(real, [real, *arguments])  # an option of the interpreter's: rare
    folder = os.fsencode(os.getcwd())  # noqa: PTH109  # pathlib takes longer to import than all of this
    fields = [folder, str(os.getpgid(0)).encode(), str(len(arguments)).encode(), *map(os.fsencode, arguments)]
    fields += [name + b"=" + value for name, value in os.environb.items()]
    request = b"\0".join(fields)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(server)
    socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(request)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    status = connection.recv(4)
    if len(status) < 4:
        sys.exit("the fork server is gone")
    code = int.from_bytes(status, "big", signed=True)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
