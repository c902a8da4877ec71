"""Bad input of every sort, as plain tables of cases: each ends in one sentence, and nothing is written elsewhere."""
