"""The answer to every request while no worker runs: an error page, JSON or plain text."""
