"""Lists of people that others made: read from any CSV or workbook, within bounds; what their columns and cells say."""
