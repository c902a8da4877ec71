"""The tests of the migrator; real MLflow servers, no mocks of our own classes."""
