"""The pages of the review: what each address answers."""
