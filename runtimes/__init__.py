"""Runtimes: one file per adapter, the contract they share, the registry, and a fake.

Imports no sibling package, and no vendor library until an adapter is started.
"""
