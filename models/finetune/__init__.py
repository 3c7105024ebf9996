"""Fine-tuning of text encoders: base weights in, a classifier that answers for texts out. Needs the extra ``peft``."""
