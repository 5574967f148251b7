import os
from urllib.parse import urlsplit

import pymysql

# In the place of the driver that Django asks for, which is not there.
pymysql.install_as_MySQLdb()
url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{url.scheme}",
        "HOST": url.hostname,
        "PORT": url.port,
        "USER": url.username,
        "PASSWORD": url.password,
        "NAME": url.path.lstrip("/"),
    }
}
# Those of the framework have migrations of their own, whose files are not in this folder.
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "register"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
