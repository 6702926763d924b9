package main

import "time"

// allRows returns the table, in order.
func allRows(e *env) []row {
	rows := []row{
		itemsRow(e),
		sizesRow(e),
		sendRow(e),
		parallelRow(e, "map-1us", time.Microsecond, e.size(1_000_000, 200_000), 1.10),
		parallelRow(e, "map-100us", 100*time.Microsecond, e.size(20_000, 3_000), 1.03),
		firstRow(e),
		smallRow(e),
		blocksRow(e),
		largeRow(e),
		turnsRow(e),
		copyRow(e),
		recodeRow(e),
	}
	rows = append(rows, codecRows(e)...)
	rows = append(rows, gzipRows(e)...)
	rows = append(rows, allocsRow(e), accountingRow(e), watchingRow(e), memoryRow(e))
	rows = append(rows, gunzipRows(e)...)
	rows = append(rows, cliRows(e)...)
	return append(rows, httpRows(e)...)
}
