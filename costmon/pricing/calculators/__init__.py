"""What calls will cost, before they are made: pure functions on rate cards."""
