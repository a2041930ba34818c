"""One module per panel. Each turns a Snapshot into lines; none owns data or knows where it comes from."""
