"""Find, list, compare and check rate cards over all layers."""
