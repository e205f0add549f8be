"""The book's experiments: what it trains, and what it measures of what it trained."""
