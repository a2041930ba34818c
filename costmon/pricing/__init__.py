"""PRICE: the catalogue and its layers, compiled for the shim; the arithmetic itself is in
`costmon.shim.cards`."""
