"""Packages for a GPU machine without a network: packed into pieces here, put together there."""
