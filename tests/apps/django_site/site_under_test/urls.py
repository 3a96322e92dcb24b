from django.urls import path

from . import views

urlpatterns = [path(f"{name}/", view) for name, view in views.VIEWS.items()]
urlpatterns += [path("", views.ok)]
if views.CUSTOM_500:
    handler500 = views.custom_500
