"""Switches for the development server that you already run.

The start-up file imports this package in every Python process in which a DEVPATCH_
variable is set, so nothing is imported here.
"""

__version__ = "0.1.0"
