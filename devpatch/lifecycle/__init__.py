"""What a development server goes through. Integrations and features meet here and nowhere else.

An integration reports what happens and asks what to do. A feature registers its listeners and its answers.
These modules call both back and import neither.

    starts        a server is about to serve; which server objects are watched
    requests      a request from its start to its end, and its first unhandled error
    costs         what a request costs: queries, calls of caches
    connections   the client's connection
    threads       whether requests run concurrently
    applications  calls of a WSGI application by any server
    loads         code that could not be loaded
    sessions      a reloader's parent and its workers
    endings       how this process ends, and with which exit status
    proof         a test, in this process, that a server's requests are seen
    examination   a start that reports to `devpatch doctor` instead of serving
    tracebacks    tracebacks without devpatch's frames
    failures      exceptions as data
    log_files     files to which lines of JSON are appended
"""
