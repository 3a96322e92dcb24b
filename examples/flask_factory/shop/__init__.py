from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/")
    def index():
        return "Hello from the polls.\n", {"Content-Type": "text/plain"}

    @app.get("/results/")
    def results():
        votes = []
        return f"{sum(votes) / len(votes):.1f}\n"

    return app
