"""The page: one HTML file that opens anywhere, asks nobody for anything, and says the answer first."""
