"""The judgement: what an attempt was, whether another may be made, and what is known of each target."""
