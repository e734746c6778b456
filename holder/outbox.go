package holder

import (
	"cmp"
	"slices"
	"time"
)

// reportItemsMax bounds the items of one report that is no inventory. What
// does not fit goes with the next.
const reportItemsMax = 1000

// outbox is what is known of the reports. One is under way at a time, so they
// arrive in the order in which they were made.
type outbox struct {
	busy         bool
	inventoryDue bool
	sent         map[ReportItem]bool // acknowledged since the last regular listing
	saidShort    bool
	next         time.Time // not before, after failures
	failures     int
	progressAt   time.Time // when progress may be reported again
}

// send reports what is due: a complete inventory first, then what changed.
func (r *run) send(found []ReportItem, wake *alarm) {
	o := &r.out
	if o.busy || !wake.due(o.next) {
		return
	}
	report := Report{
		Lineage: r.duties.Lineage, Incarnation: r.duties.Incarnation,
		Revision: r.listing.view.revision, NoSpace: r.short,
	}
	switch {
	case !o.inventoryDue:
		report.Items = r.news(found, wake)
		if len(report.Items) == 0 && r.short == o.saidShort {
			return
		}
	case !r.listing.view.sameRun(r.view()):
		return // a listing of this incarnation is on its way
	default:
		report.Inventory = true
		for _, c := range slices.SortedFunc(slices.Values(r.held), compareCopies) {
			report.Items = append(report.Items, itemOf(c, ReportReady))
		}
	}
	o.busy = true
	r.goWork(func() {
		answer, err := r.cfg.Reports.Report(r.ctx, report)
		r.post(func() { r.reported(report, answer, err, time.Now()) })
	})
}

// news returns the items that were not acknowledged yet: what Diff found,
// failures, and progress when it is due.
func (r *run) news(found []ReportItem, wake *alarm) []ReportItem {
	var items []ReportItem
	for _, item := range found {
		gone := item.Phase == ReportLost || item.Phase == ReportDropped
		if !r.out.sent[item] && (!gone || r.absent(item.Chain, wake)) {
			items = append(items, item)
		}
	}
	for _, t := range r.retries {
		if t.failed != nil {
			items = append(items, *t.failed)
		}
	}
	items = append(items, r.progress(wake)...)
	slices.SortFunc(items, func(a, b ReportItem) int {
		return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Phase, b.Phase))
	})
	return items[:min(len(items), reportItemsMax)]
}

// progress returns one item for each pull that got on since it last said so,
// at most every tenth of the move deadline (rule S8).
func (r *run) progress(wake *alarm) []ReportItem {
	var items []ReportItem
	pulling := false
	for id, j := range r.jobs {
		if !j.pulling() || j.stopped {
			continue
		}
		pulling = true
		if done := j.doneBytes.Load(); done > j.saidBytes {
			items = append(items, ReportItem{
				Chain: id, Epoch: j.pull.Epoch, Phase: ReportPulling, SHA256: j.pull.SHA256(),
				BytesDone: done, BytesTotal: j.totalBytes.Load(),
			})
		}
	}
	if !pulling || !wake.due(r.out.progressAt) {
		return nil
	}
	every := r.duties.MoveDeadline / 10
	if every <= 0 {
		every = r.cfg.InventoryEvery
	}
	r.out.progressAt = wake.now.Add(every)
	wake.at(r.out.progressAt)
	for _, item := range items {
		r.jobs[item.Chain].saidBytes = item.BytesDone
	}
	return items
}

// reported takes the answer to a report. Without one nothing is crossed out,
// and it is said again.
func (r *run) reported(report Report, answer Answer, err error, now time.Time) {
	o := &r.out
	o.busy = false
	if err != nil {
		o.failures++
		o.next = now.Add(min(r.backoff(o.failures), clusterRetryMax))
		if r.ctx.Err() == nil {
			r.cfg.Logger.Warn("report not accepted; it will be repeated", "failures", o.failures, "error", err)
		}
		return
	}
	o.failures, o.next, o.saidShort = 0, time.Time{}, report.NoSpace
	for _, refusal := range answer.Refused {
		r.cfg.Logger.Debug("report refused", "chain", refusal.Chain, "epoch", refusal.Epoch, "code", refusal.Code, "detail", refusal.Detail)
	}
	if report.Inventory {
		if report.Lineage == r.duties.Lineage && report.Incarnation == r.duties.Incarnation {
			o.inventoryDue = false
		}
		return
	}
	for _, item := range report.Items {
		switch item.Phase {
		case ReportFailed:
			if t := r.retries[item.Chain]; t != nil && t.failed != nil && *t.failed == item {
				t.failed = nil
			}
		case ReportPulling:
		case ReportReady, ReportDropped, ReportLost:
			o.sent[item] = true
		}
	}
}
