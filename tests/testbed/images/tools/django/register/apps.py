from django.apps import AppConfig


class RegisterConfig(AppConfig):
    name = "register"
    # The history knows it by this, and not by its folder.
    label = "roll"
