"""The board of a class: who is where, who needs help, and what the trainer orders; and what it is told over HTTP."""
