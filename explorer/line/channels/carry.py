"""Two pipes of TVM's client and a connection → whoever is at its other end serves them, handed over or relayed.

TVM's client starts this as a program, ``python -I -S carry.py HOW CONNECTION TOLD READ WRITE``. Each session waits for
it, so it imports nothing that takes long, and Python's own ``_socket``. It says its number to TOLD. It ends when its
parent ends it or is gone, and not before: TVM ends it by its number, which another process could have by then.
"""

import os
import select
import sys
import time
from _socket import SCM_RIGHTS, SOL_SOCKET, socket
from array import array

CHUNK = 1 << 18


def hand_over(connection: socket, read: int, write: int) -> None:
    """Pass the pipes on, and return when the other end of the connection is closed."""
    connection.sendmsg([b"p"], [(SOL_SOCKET, SCM_RIGHTS, array("i", [read, write]))])
    os.close(read)
    os.close(write)  # the client sees its server end only if nobody else has this
    end = select.poll()
    end.register(connection.fileno(), 0)  # only that it is closed
    end.poll()


def relay(connection: socket, read: int, write: int) -> None:
    """Pass on what comes from the pipe and from the connection, until one of them is closed."""
    ways = {read: connection.fileno(), connection.fileno(): write}
    while True:
        for source in select.select(list(ways), [], [])[0]:
            if not (chunk := os.read(source, CHUNK)):
                return
            while chunk:
                chunk = chunk[os.write(ways[source], chunk) :]


def main(how: str, *descriptors: str) -> None:
    """Carry by one of the functions above; CONNECTION is a socket and TOLD a pipe that this process has inherited."""
    parent, (number, told, read, write) = os.getppid(), map(int, descriptors)
    os.write(told, str(os.getpid()).encode())
    kept = sorted((number, read, write))
    for first, last in zip([2, *kept], [*kept, 1 << 16], strict=True):
        os.closerange(first + 1, last)  # such as the pipes of another session, which would never seem closed
    try:  # noqa: SIM105  contextlib takes long
        {"hand_over": hand_over, "relay": relay}[how](socket(fileno=number), read, write)
    except OSError:  # an end is gone
        pass
    os.closerange(3, 1 << 16)
    while os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
