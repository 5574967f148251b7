from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("roll", "0001_initial")]
    operations = [migrations.RunSQL("ALTER TABLE voters ADD COLUMN born integer")]
