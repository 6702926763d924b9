// Package monitor shows what flows and transfers do while they run: which stage
// is the bottleneck, since when, and what that costs. One line adds it to any
// service:
//
//	mux.Handle("/weir/", monitor.Handler())
//
// It answers requests from the machine itself only, unless told otherwise: see
// [Local]. There is a page for people, the same as text, and three formats for
// programs. [Monitor] is the registry behind them, for programs that do not want
// everything in one place, or that want the events in a log.
//
// # JSON
//
// status.json is a [Snapshot]:
//
//	{"v": 1,                        version of this format
//	 "time": 1796015575.53,         seconds since 1970
//	 "program": {"name": "weir", "pid": 4711, "start": 1796015561.2},
//	 "state": "pushing back",       see State
//	 "sentence": "gzip is the bottleneck: busy 97% of the time, and read waited for it 83% of the time",
//	 "since": 1796015562.5,         when that became so
//	 "subject": "flow 12",          the flow or transfer of the sentence
//	 "in": 14200000,                bytes a second, over the last second
//	 "out": 4100000,
//	 "memory": {"used": 65536, "limit": 81920},
//	 "process": {"heap": 154096, "rss": 9969664, "goroutines": 13},
//	 "running": 1,                  flows that run
//	 "runs": {"succeeded": 3, "failed": 0, "canceled": 0},
//	 "flows": {"12": {"name": "…", "stages": {"0": …, "1": …}, "pipes": {"0": …}, …}},
//	 "transfers": {"files": {"active": 4, "rows": {"17": …}, …}},
//	 "events": {"1": {"time": …, "kind": "started", "subject": "flow 12", "text": "…"}},
//	 "viewers": 1}
//
// Numbers are in base units: bytes, seconds, shares from 0 to 1. Collections are
// objects whose keys are decimal numbers. No value is null. Fields may be added;
// "v" changes when one changes its meaning. The type of each part documents its
// fields: [Flow], [Stage], [Pipe], [TransferGroup], [Row], [Event].
//
// events is a stream of server-sent events. The first is named "snapshot" and its
// data is a Snapshot. Each further one is named "patch", and its data is a JSON
// merge patch (RFC 7396) that turns the snapshot that the client has into the
// newest one. In JavaScript that is
//
//	function merge(into, patch) {
//		for (const [key, value] of Object.entries(patch)) {
//			if (value === null) delete into[key]
//			else if (typeof value === 'object' && !Array.isArray(value)) into[key] = merge(into[key] ?? {}, value)
//			else into[key] = value
//		}
//		return into
//	}
//
// Differences come at most 4 times a second and at most 16 KiB a second: a viewer
// that would get more, or that is slow, skips snapshots. There is never a queue.
// A client that takes nothing for 5 s is disconnected. At most 16 clients get
// events at a time; others get 503. When "closed" is true nothing follows.
//
// history.json has the last 10 minutes, a [Point] a second, in at most 2 MiB:
//
//	{"v": 1, "step": 1, "span": 600, "limit": 2097152, "bytes": 977, "points": [{"t": …, …}, …]}
//
// Nothing is recorded while nothing runs, so there can be gaps.
//
// The pages that are open in one browser share one stream of events. Without one
// they ask for status.json every 2 seconds.
//
// # Metrics
//
// metrics has the text format of Prometheus:
//
//	weir_stage_seconds_total{flow,stage,state}
//	weir_stage_blocked_events_total{flow,stage}
//	weir_stage_bytes_total{direction,flow,stage}
//	weir_stage_items_total{direction,flow,stage}
//	weir_stage_last_progress_timestamp_seconds{flow,stage}
//	weir_pipe_used_bytes{flow,pipe}
//	weir_pipe_limit_bytes{flow,pipe}
//	weir_pipe_blocked_spell_seconds{flow,pipe}
//	weir_pipe_blocked_now_seconds{flow,pipe}
//	weir_pipe_blocked_seconds_total{flow,pipe}
//	weir_pipe_dropped_total{flow,pipe}
//	weir_edge_held_bytes{flow,stage}
//	weir_edge_limit_bytes{flow,stage}
//	weir_edge_lag_bytes{flow,stage}
//	weir_edge_refusals_total{flow,stage}
//	weir_flow_runs_total{flow,outcome}
//	weir_flow_running{flow}
//	weir_flow_bottleneck_info{bottleneck,flow}
//	weir_memory_used_bytes{flow}
//	weir_memory_limit_bytes{flow}
//	weir_budget_used_bytes
//	weir_budget_limit_bytes
//	weir_transfers_active{server}
//	weir_transfers_total{direction,outcome,server}
//	weir_transfers_bytes_total{direction,server}
//
// Runs of flows with the same name are added up, also when they have ended. Names
// of flows and stages are labels. The words of a name that contain a slash or a
// backslash are left out, since a path must not be a label; see also
// [Monitor.Label] and [Monitor.LabelPart]. At most 100 flows, 500 stages and 300 pipes get
// their own labels; the rest is counted under "other".
//
// # Trace
//
// POST to trace starts the flight recorder of the Go runtime, and GET returns its
// contents, for "go tool trace": about the last 10 seconds, aimed at 8 MiB. A trace
// larger than 32 MiB is refused. The recorder ends 5 minutes after the last request
// for it. A process has one, so POST fails while the program itself records. A
// trace shows functions, goroutines and times, and no data.
//
// # Cost
//
// While nobody has called [Handler], [Monitor.Watch] or [Monitor.WatchAll],
// nothing is recorded. While flows run, a Monitor looks at them 4 times a second,
// at most at 50; flows beyond that are counted, and looked at when others end.
package monitor
