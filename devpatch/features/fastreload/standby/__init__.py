"""The standby: the next worker's interpreter imports the libraries, and waits.

In the worker:      recording.py   the order in which modules are imported, and what the code changes
                    facts.py       what the supervisor must know of that
In the supervisor:  planning.py    from the facts to a plan: which modules a standby may import
In a probe:         probe.py       tries to import them, in a process that is thrown away
                    extensions.py  which extension modules may read the environment
In the standby:     warming.py     imports them, and reads the code of the rest
In the last two:    freezing.py    makes the process end sooner
                    keeping.py     does so too, in the worker
In all of them:     guard.py       the finder that lets only planned modules be imported
                    sources.py     how the sources of the project are read
                    roles.py       which of these a process does
"""
