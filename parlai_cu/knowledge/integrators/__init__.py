"""What becomes of the facts: one file per integrator."""
