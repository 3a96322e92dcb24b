"""A Flask application whose views say how many queries SQLAlchemy's own event has counted."""

import os

import patched
from flask import Flask, Response, g, jsonify, stream_with_context
from flask_caching import Cache
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event

if os.environ.get("SITE_SPANS"):
    from tracing import trace

    trace("flask.FlaskInstrumentor")
    from flask import Flask  # The instrumentor has replaced the class.

app = Flask(__name__)
if os.environ.get("SITE_TOOLBAR"):
    from flask_debugtoolbar import DebugToolbarExtension

    app.debug = True
    app.config.update(SECRET_KEY="x", DEBUG_TB_INTERCEPT_REDIRECTS=False, SQLALCHEMY_RECORD_QUERIES=True)
    DebugToolbarExtension(app)
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['SITE_FOLDER']}/one.sqlite3"
# Older versions keep one connection, and Flask runs an asynchronous view in another thread.
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"check_same_thread": False}}
app.config["CACHE_TYPE"] = "SimpleCache"
db = SQLAlchemy(app)
cache = Cache(app)


class Item(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String)


with app.app_context():
    db.create_all()
    if os.environ.get("SITE_SPANS"):
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

        SQLAlchemyInstrumentor().instrument(engine=db.engine)

    @event.listens_for(db.engine, "before_cursor_execute")
    def count(*_):
        g.number = g.get("number", 0) + 1


def query(number):
    for key in range(number):
        db.session.execute(db.select(Item).where(Item.id == key, Item.name == "secret value")).all()


@app.get("/ok/")
def ok():
    return "ok"


@app.get("/sync/<int:number>/")
def sync(number):
    query(number)
    return str(g.get("number", 0))


@app.get("/raw/<int:number>/")
def raw(number):
    for key in range(number):
        db.session.execute(db.text(f"SELECT name FROM item WHERE id = {key} AND name = 'secret value'"))
    db.session.add(Item(name="x"))
    db.session.commit()
    try:
        db.session.execute(db.text("SELECT 1 FROM nowhere"))
    except Exception:
        db.session.rollback()
    return str(g.get("number", 0))


@app.get("/asynchronous/<int:number>/")
async def asynchronous(number):
    query(number)
    return str(g.get("number", 0))


@app.get("/stream/<int:number>/")
def stream(number):
    def body():
        yield " "
        query(number)
        yield str(g.get("number", 0))

    return Response(stream_with_context(body()))


@app.get("/cached/")
def cached():
    """Answer with the hits, misses, sets and deletes."""
    cache.clear()
    cache.get("a")
    cache.set("a", 1)
    cache.add("b", 2)
    cache.get("a")
    cache.get_many("a", "b", "c")
    cache.set_many({"d": 4, "e": 5})
    cache.has("f")
    cache.delete("a")
    cache.delete_many("b", "d")
    costly()
    costly()
    return jsonify([4, 4, 5, 4])


@cache.cached(60, key_prefix="costly")
def costly():
    return "costly"


@app.get("/page/")
def page():
    query(3)
    return "<!doctype html><title>page</title><body></body>"


@app.get("/patches/")
def patches():
    return jsonify(patched.report(patched.FLASK))


@app.get("/fail/")
def fail():
    db.session.execute(db.text("SELECT 1 FROM nowhere"))
