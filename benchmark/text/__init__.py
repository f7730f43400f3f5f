"""What normalisers share: the machine that runs named rules, and the rules of all scripts. No torch."""
