"""The ground floor: settings, errors, storage, and the only SQL of the project."""
