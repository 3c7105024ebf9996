"""The sub-commands. Each module has ``register(app)`` and imports what it needs when a command runs."""
