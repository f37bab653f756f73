"""`eegfm` as a shell calls it in tests: asks the process that forks commands for one, and waits for it.

python -IS command_line_client.py <descriptor of the way to that process> <arguments>
"""

import json
import os
import socket
import sys

_, parent, *arguments = sys.argv
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
wanted = {"module": "eegfm", "arguments": arguments, "cwd": os.getcwd(), "env": dict(os.environ)}
with theirs, socket.socket(fileno=int(parent)) as way:
    socket.send_fds(way, [json.dumps(wanted).encode()], [theirs.fileno(), 1, 2])
ours.recv(32)  # its number
status = int(ours.recv(32))
sys.exit(status if status >= 0 else 128 - status)
