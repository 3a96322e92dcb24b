"""DEVPATCH_FAILSAFE: broken code never ends the reloading server. An error page replaces it for that time.

feature.py   the switch
supervisor/  the reloader's parent: starts workers, watches files while no worker runs, holds a failed first start
worker/      the child, which loads and serves the code, and reports to the supervisor
ipc.py       the messages between the two
failure.py   why a worker is broken
page/        the answer to every request while no worker runs
"""
