"""Run the migrations inside the transaction that `corral.state.migrate` has begun."""

from alembic import context

from corral.state.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()
