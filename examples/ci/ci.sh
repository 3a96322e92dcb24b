#!/bin/sh
# End-to-end tests against the Django example. The run ends with the server's error, immediately, and with its exit status.
set -eu
cd "$(dirname "$0")/../django_project"
exec devpatch run --failfast --failfast-exit-code=9 --error-log=errors.jsonl \
    --with "python -m unittest discover ../ci -p e2e.py" \
    -- python manage.py runserver --noreload 127.0.0.1:8000
