"""The catalogue's layers: made from genai-prices, corrected by files, renewed on demand, compiled for the ledger."""
