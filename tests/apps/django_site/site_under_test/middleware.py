from django.http import HttpResponse


class Rescued(Exception):
    """Rescue turns this exception into a response."""


def outer(get_response):
    def middleware(request):
        if request.path == "/middleware/":
            raise ValueError("boom in a middleware")
        return get_response(request)

    return middleware


def inner(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


class Rescue:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, Rescued):
            return HttpResponse("rescued", status=500)
        return None


def rescue_all(get_response):
    def middleware(request):
        try:
            return get_response(request)
        except Exception as error:
            return HttpResponse(f"rescued {error}", status=503)

    return middleware
