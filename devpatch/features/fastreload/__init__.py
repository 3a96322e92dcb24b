"""DEVPATCH_FASTRELOAD: from the save to the fresh answer in a tenth of a second, by a true restart.

feature.py  the switch
hearing/    the supervisor hears of a change at once, and ends the sleep of the worker's reloader
standby/    the next worker's interpreter has imported the libraries before the change comes
"""
