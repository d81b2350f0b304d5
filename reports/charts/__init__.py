"""Charts of a run: figures that are drawn once and shown in light, in dark and on a page."""
