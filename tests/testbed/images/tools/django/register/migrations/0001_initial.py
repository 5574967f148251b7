from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("auth", "0001_initial")]
    operations = [migrations.RunSQL("CREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL)")]
