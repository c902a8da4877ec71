"""Moves a workload, and prints seconds and requests as JSON.

python -m bench.bare SOURCE DESTINATION
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from bench.bare.move import move

if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(move(*sys.argv[1:]))).decode())
