"""``python -m bulkexim``."""

from bulkexim.cli.main import main

main(prog_name="bulkexim")
