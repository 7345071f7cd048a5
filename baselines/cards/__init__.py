"""Method cards: what each method is, what its paper did, and what it did here."""
