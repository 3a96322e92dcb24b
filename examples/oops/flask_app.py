"""A Flask application behind the middleware: `DEVPATCH_EXC_INFO=1 gunicorn flask_app:app`."""

from flask import Flask
from oops import Oops

app = Flask(__name__)
app.wsgi_app = Oops(app.wsgi_app, reports="oops.jsonl")


@app.get("/")
def index():
    return "Try /results/.\n", {"Content-Type": "text/plain"}


@app.get("/results/")
def results():
    votes = []
    return f"{sum(votes) / len(votes):.1f}\n"
