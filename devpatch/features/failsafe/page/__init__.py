"""The answer to every request while no worker lives: an error page, JSON or plain text."""
