"""A language model as a teacher: prompts, what its replies mean, and what is learned from them. Pure compute."""
