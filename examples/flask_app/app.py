import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "Hello from the polls.\n", {"Content-Type": "text/plain"}


@app.get("/results/")
def results():
    votes = []
    return f"{sum(votes) / len(votes):.1f}\n"


if __name__ == "__main__":
    app.run(debug=True, port=int(os.environ.get("PORT", "5000")))
