"""Run files, queries and statistics; published figures and baselines. Imports no sibling package."""
