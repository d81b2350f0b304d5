"""Models: what is measured, what it means, what goes in, and what must come out.

Imports no sibling package. Importing this package imports neither numpy nor onnx, so that
the command line stays quick; the modules that need them import them themselves.
"""
