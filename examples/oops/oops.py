"""A WSGI middleware that writes a report of each exception behind an error response: an "oops".

It depends on no framework. By the WSGI specification (PEP 3333) an application passes the exception to
``start_response(status, headers, exc_info)``. With DEVPATCH_EXC_INFO=1 Django and Flask do that.
"""

import json
import traceback
import uuid


class Oops:
    """Write each exception of ``application`` to the file ``reports``, as one line of JSON.

    The response gets a header X-Oops with the number of its report, so a user can quote it.
    """

    def __init__(self, application, reports):
        self.application = application
        self.reports = reports

    def __call__(self, environ, start_response):
        def start_and_report(status, headers, exc_info=None):
            if exc_info is not None:
                number = self.report(environ, status, exc_info)
                headers = [*headers, ("X-Oops", number)]
            return start_response(status, headers, exc_info)

        return self.application(environ, start_and_report)

    def report(self, environ, status, exc_info):
        number = uuid.uuid4().hex
        line = {
            "number": number,
            "path": environ.get("PATH_INFO"),
            "status": status,
            "exception": "".join(traceback.format_exception_only(*exc_info[:2])).strip(),
            "traceback": "".join(traceback.format_exception(*exc_info)),
        }
        with open(self.reports, "a") as file:
            file.write(json.dumps(line) + "\n")
        return number
