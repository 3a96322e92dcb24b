"""What a development server goes through. Integrations and features meet here and nowhere else.

An integration reports what happens and asks what to do. A feature registers its listeners and its answers.
These modules call back, and import neither.

    starts        a server is about to serve; which server objects are watched
    requests      a request from its begin to its end, its first unhandled error
    connections   the client's side of a request
    threads       whether requests run concurrently
    applications  calls of a WSGI application, whatever server makes them
    loads         code that could not be loaded
    sessions      a reloader's parent and its workers
    endings       how this process ends, and with which exit status
    proof         a test in the process that requests of a server can be known
    exceptions, failures   tracebacks without our frames, and exceptions as data
"""
