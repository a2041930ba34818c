"""Count the tokens of texts and chats: exactly with tiktoken's rank files, else with a range."""
