"""One module per page. A page arranges panels and hands them the snapshot."""
