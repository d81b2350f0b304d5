from __future__ import annotations

from bench.carry.cli import main

main()
