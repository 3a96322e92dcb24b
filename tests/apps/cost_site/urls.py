import views
from django.conf import settings
from django.urls import include, path

urlpatterns = [
    path("ok/", views.ok),
    *(path(f"{kind.__name__}/<int:number>/", kind) for kind in views.KINDS),
    *(path(f"{view.__name__}/", view) for view in views.OTHERS),
]
if "debug_toolbar" in settings.INSTALLED_APPS:
    urlpatterns.append(path("__debug__/", include("debug_toolbar.urls")))
