"""DEVPATCH_FAILSAFE: broken code never takes the reloading server down, and an error page stands in for it.

feature.py   the switch
supervisor/  the reloader's parent: it starts workers, watches files while none lives, holds a failed start
worker/      the child, which loads and serves the code, and reports to the supervisor
ipc.py       what the two tell each other
failure.py   why a worker is broken
page/        the answer to every request while no worker lives
"""
