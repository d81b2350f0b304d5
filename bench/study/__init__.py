"""Does the search keep what it promises? Real searches, a rival on the same cells and budget, and the check of both."""
