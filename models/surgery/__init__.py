"""Surgery: passes that write a model down in another way. A form is a chain of them."""
