"""PRICE: what things cost; the arithmetic itself is in `costmon.shim.cards`.

files         price files, ours and the user's, read into entries of the catalogue
catalog       its layers: built from genai-prices, corrected, renewed on demand, compiled for the ledger
lookup        rate cards found, listed, compared and checked over all layers
calculators   what calls will cost, before they are made
tokens        texts and chats counted
currency      exchange rates: the config's, and those fetched on demand
"""
