"""What runs inside other people's apps: the standard library only, and nothing that can hurt the host."""
