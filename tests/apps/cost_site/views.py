"""Each of the KINDS makes a number of queries, and answers with the number that Django itself has counted."""

import asyncio
import mmap
import threading
import time
from contextlib import ExitStack

import patched
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model, login
from django.core.cache import caches
from django.db import connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test.utils import CaptureQueriesContext
from stock.models import Item


class Counted:
    """Django's own count of the queries of this thread's connections."""

    def __enter__(self):
        self._stack = ExitStack()
        self._captures = [
            self._stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in connections
        ]
        return self

    def __exit__(self, *error):
        self.number = sum(len(capture) for capture in self._captures)
        self._stack.close()

    def answer(self):
        return HttpResponse(str(self.number))


def query(number, using="default"):
    for key in range(number):
        list(Item.objects.using(using).filter(id=key, name="secret value"))


def ok(request):
    return HttpResponse("ok")


def sync(request, number):
    with Counted() as counted:
        query(number)
    return counted.answer()


def databases(request, number):
    with Counted() as counted:
        query(number)
        query(2, using="other")
    return counted.answer()


def atomic(request, number):
    with Counted() as counted:
        for key in range(number):
            with transaction.atomic():
                Item.objects.create(name=f"name {key}")
                with transaction.atomic():
                    Item.objects.count()
        Item.objects.bulk_create([Item(name="a"), Item(name="b")])
        Item.objects.filter(name__in=["a", "b"]).delete()
    return counted.answer()


def raw(request, number):
    with Counted() as counted, connection.cursor() as cursor:
        for key in range(number):
            cursor.execute(f"SELECT name FROM stock_item WHERE id = {key} AND name = 'secret value'")
        cursor.executemany("DELETE FROM stock_item WHERE name = %s", [("x",), ("y",)])
        try:
            cursor.execute("SELECT 1 FROM nowhere")
        except Exception:
            pass
    return counted.answer()


def wrapped(request, number):
    """Other functions that Django calls for each query see each query, and are removed as they were added."""
    seen = []

    def see(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(see):
        query(number)
    query(1)
    assert see not in connection.execute_wrappers
    return HttpResponse(str(len(seen) + 1))


async def asynchronous(request, number):
    counted = Counted()
    await sync_to_async(counted.__enter__)()
    for key in range(number):
        await Item.objects.filter(id=key).afirst()
    await sync_to_async(counted.__exit__)()
    return counted.answer()


async def gathered(request, number):
    """Queries in several threads at once."""

    def count(key):
        with Counted() as counted:
            query(1)
        connections.close_all()
        return counted.number

    counts = await asyncio.gather(
        *(sync_to_async(count, thread_sensitive=False)(key) for key in range(number))
    )
    return HttpResponse(str(sum(counts)))


def stream(request, number):
    def body():
        with Counted() as counted:
            yield " "
            for _ in range(number):
                time.sleep(0.001)
                query(1)
        yield str(counted.number)

    return StreamingHttpResponse(body())


KINDS = [sync, databases, atomic, raw, wrapped, asynchronous, gathered, stream]


def cached(request):
    """Answer with the hits, misses, sets and deletes of two caches."""
    for cache in (caches["default"], caches["file"]):
        cache.clear()
        cache.get("a")
        cache.set("a", 1)
        cache.add("b", 2)
        cache.get("a")
        cache.get_many(key for key in ("a", "b", "c"))
        cache.set_many({"d": 4, "e": 5})
        cache.get_or_set("a", 9)
        "f" in cache  # noqa: B015
        cache.delete("a")
        cache.delete_many(["b", "d"])
    return JsonResponse([2 * number for number in (4, 3, 4, 4)], safe=False)


async def cached_async(request):
    await caches["default"].aset("x", 1)
    await caches["default"].aget("x")
    return JsonResponse([1, 0, 1, 0], safe=False)


def thread(request):
    """A query of a thread that the view starts itself."""

    def run():
        query(3)
        connections.close_all()

    worker = threading.Thread(target=run)
    worker.start()
    worker.join()
    return HttpResponse("ok")


def wrappers(request):
    """Answer with the number of execute_wrappers, and whether a method of cursors and one of caches is wrapped."""
    connection.ensure_connection()
    methods = (CursorWrapper._execute_with_wrappers, type(caches["file"]).get)
    return JsonResponse(
        [len(connection.execute_wrappers), *(hasattr(method, "__wrapped__") for method in methods)],
        safe=False,
    )


def patches(request):
    caches["default"].get("a")
    return JsonResponse(patched.report(patched.DJANGO))


def fail(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM nowhere")


def slow(request):
    time.sleep(float(request.GET.get("seconds", 0.3)))
    return HttpResponse("slow")


kept = []


def memory(request):
    # Not bytes: the memory of freed bytes may be used again.
    kept.append(mmap.mmap(-1, 8_000_000))
    for _ in range(8):
        kept[-1].write(b"x" * 1_000_000)
    return HttpResponse("ok")


def sign_in(request):
    user, _created = get_user_model().objects.get_or_create(username="anna")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    return HttpResponse(request.session.session_key)


def who(request):
    return HttpResponse(request.user.username)


def visit(request):
    """The session and the user are not asked for."""
    return HttpResponse("ok")


def data(request):
    return JsonResponse({"number": 1, "text": "x" * 400})


def page(request):
    query(3)
    return HttpResponse("<!doctype html><title>page</title><body></body>")


OTHERS = [
    cached,
    cached_async,
    thread,
    wrappers,
    patches,
    fail,
    slow,
    memory,
    sign_in,
    who,
    visit,
    data,
    page,
]
