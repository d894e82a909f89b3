"""Long jobs on one machine: their steps run in processes, and survive the death of any of them."""
