"""What a worker can be asked to do: one file per task, each with ``serve(request) -> reply``."""
