from django.http import HttpResponse


def index(request):
    return HttpResponse("Hello from the polls.\n", content_type="text/plain")


def results(request):
    votes = []
    average = sum(votes) / len(votes)
    return HttpResponse(f"{average:.1f}\n", content_type="text/plain")
