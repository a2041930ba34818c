"""Reports for people and programs: written once, from what the ledger tells. Nothing here draws a screen."""
