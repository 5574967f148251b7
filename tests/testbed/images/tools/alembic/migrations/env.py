import os
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine, pool

fileConfig(context.config.config_file_name)
scheme, rest = os.environ["DATABASE_URL"].split(":", 1)
driver = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}[scheme]
engine = create_engine(f"{driver}:{rest}", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
