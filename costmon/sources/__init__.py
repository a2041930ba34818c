"""CAPTURE: what the shim cannot see, collected by the engine: resources of this machine and those announced."""
