package disk

import (
	"slices"

	"foreverframe/stream"
)

// An index is which records and receipts are in the file, by their ids.
type index struct {
	records  map[string][]uint64 // by topic, oldest first
	receipts []uint64            // oldest first
	last     uint64              // the newest of all
}

func (x *index) addRecord(topic string, id uint64) {
	if x.records == nil {
		x.records = make(map[string][]uint64)
	}
	x.records[topic] = append(x.records[topic], id)
	x.last = max(x.last, id)
}

func (x *index) addReceipt(id uint64) {
	x.receipts = append(x.receipts, id)
	x.last = max(x.last, id)
}

// add adds what is being written.
func (x *index) add(changes stream.Changes) {
	for _, r := range changes.Records {
		x.addRecord(r.Topic, r.ID)
	}
	for _, r := range changes.Receipts {
		x.addReceipt(r.ID)
	}
}

// undo takes back an add before which last was the newest.
func (x *index) undo(changes stream.Changes, last uint64) {
	for _, r := range changes.Records {
		ids := x.records[r.Topic]
		x.records[r.Topic] = ids[:len(ids)-1]
	}
	x.receipts = x.receipts[:len(x.receipts)-len(changes.Receipts)]
	x.last = last
}

// forgotten returns the records that changes drops, by topic: its oldest ones.
func (x *index) forgotten(changes stream.Changes) map[string][]uint64 {
	upTo := make(map[string]uint64)
	for _, p := range changes.Forget {
		upTo[p.Topic] = max(upTo[p.Topic], p.ID)
	}
	all := make(map[string][]uint64)
	for topic, id := range upTo {
		if ids := before(x.records[topic], id); len(ids) > 0 {
			all[topic] = ids
		}
	}
	return all
}

// before returns those of the ids, which are sorted, that are id or less.
func before(ids []uint64, id uint64) []uint64 {
	n, found := slices.BinarySearch(ids, id)
	if found {
		n++
	}
	return ids[:n]
}

// forget drops what has been dropped from the file.
func (x *index) forget(records map[string][]uint64, receipts int) {
	for topic, ids := range records {
		if rest := x.records[topic][len(ids):]; len(rest) > 0 {
			x.records[topic] = rest
		} else {
			delete(x.records, topic)
		}
	}
	x.receipts = x.receipts[receipts:]
}
