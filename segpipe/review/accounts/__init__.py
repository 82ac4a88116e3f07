"""The accounts: people, their sessions, what each is to read, and what each read."""
