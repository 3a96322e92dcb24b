"""DEVPATCH_FASTRELOAD: from the save to the fresh answer in a tenth of a second, by a true restart.

feature.py     the switch
file_changes/  the supervisor is notified of a change immediately, and wakes the worker's reloader
standby/       the next worker's interpreter has imported the libraries before the change comes
"""
