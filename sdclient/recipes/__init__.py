"""The systems sdclient was made for, as plans: their prompts, order and names; never a loop of their own."""
