"""The way to the Hugging Face hub: what may go, what is there, and one commit."""
