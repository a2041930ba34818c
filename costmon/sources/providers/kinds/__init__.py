"""One small module a provider, each with its `KIND`."""
