import os
from urllib.parse import urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": url.hostname,
        "PORT": url.port,
        "USER": url.username,
        "PASSWORD": url.password,
        "NAME": url.path.lstrip("/"),
    }
}
# Those of the framework have migrations of their own, whose files are not in this folder.
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "roll"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
