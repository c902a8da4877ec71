"""Moves a workload, and prints seconds and requests as JSON.

python -m bench.bare SOURCE DESTINATION [READING WRITING]

READING and WRITING are the requests at once to either server.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from bench.bare.move import move

if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(move(*sys.argv[1:3], *map(int, sys.argv[3:])))).decode())
