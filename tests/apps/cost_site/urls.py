import views
from django.urls import path

urlpatterns = [
    path("ok/", views.ok),
    *(path(f"{kind.__name__}/<int:number>/", kind) for kind in views.KINDS),
    *(path(f"{view.__name__}/", view) for view in views.OTHERS),
]
